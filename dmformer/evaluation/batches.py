"""The images of a dataset, as everything that is measured on one goes through them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from dmformer.data.dataset import Batch, Dataset, UnreadableLog, iterate_batches
from dmformer.preprocessing import Preprocessing
from dmformer.progress import Progress, foretold
from dmformer.tasks.base import Task


def watched_batches(
    dataset: Dataset, spec: Preprocessing, task: Task, size: int, what: str, progress: Progress
) -> Iterator[Batch]:
    """Every readable image of a dataset with what is right for it, in batches; at the end says which were not readable.

    Args:
        dataset: The images.
        spec: How they become tensors.
        task: Says what is right for each.
        size: Images in a batch.
        what: What is being done, for people.
        progress: Watches.

    Raises:
        DataError: More than a few images cannot be read.
    """
    log, total = UnreadableLog(), -(-len(dataset) // size)
    batches = iterate_batches(dataset, spec, size, target=partial(task.target, spec=spec), log=log)
    yield from progress.track(foretold(batches, total, what, progress), what, total)
    if log.entries:
        progress.say(log.summary())
