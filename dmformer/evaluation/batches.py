"""The images of a dataset, as everything that is measured on one goes through them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from dmformer.data.dataset import Batch, Dataset, UnreadableLog, iterate_batches, readable_samples
from dmformer.framing import Framing
from dmformer.preprocessing import Preprocessing
from dmformer.progress import Progress, foretold
from dmformer.runtimes.engine import Engine
from dmformer.tasks.base import Result, Task

T = TypeVar("T")


@dataclass(frozen=True)
class Answered:
    """Some images and what was given for them.

    Attributes:
        result: What was given.
        targets: What is right for each image, None where nobody knows.
        indices: Index of each image in the dataset.
    """

    result: Result
    targets: tuple[Any, ...]
    indices: tuple[int, ...]


def answered(engine: Engine, dataset: Dataset, framing: Framing, progress: Progress) -> Iterator[Answered]:
    """What an engine gives for every readable image of a dataset; at the end says which were not readable.

    Raises:
        DataError: More than a few images cannot be read, or one is smaller than a tile.
    """
    task, what = engine.manifest.task, f"verifying {engine.manifest.target}"
    if not framing.one_by_one:
        for batch in watched_batches(dataset, framing.spec, task, engine.batch_size, what, progress):
            yield Answered(engine.run_tensors(batch.tensor), batch.targets, batch.indices)
        return
    log = UnreadableLog()
    for index, sample in _watched(readable_samples(dataset, log), log, len(dataset), what, progress):
        result = framing.result(sample.image, engine.run_images, sample.name)
        yield Answered(result, (task.target(sample, framing.spec),), (index,))


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
    log = UnreadableLog()
    batches = iterate_batches(dataset, spec, size, target=partial(task.target, spec=spec), log=log)
    return _watched(batches, log, -(-len(dataset) // size), what, progress)


def _watched(items: Iterator[T], log: UnreadableLog, total: int, what: str, progress: Progress) -> Iterator[T]:
    """The same, watched; at the end says what the log holds."""
    yield from progress.track(foretold(items, total, what, progress), what, total)
    if log.entries:
        progress.say(log.summary())
