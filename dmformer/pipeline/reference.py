"""The outputs of the FP32 PyTorch reference: on the golden samples, and on a whole dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dmformer.data.dataset import Dataset, Sample, Unreadable, UnreadableLog, readable_samples, subset
from dmformer.errors import CheckpointError, DataError
from dmformer.evaluation.batches import watched_batches
from dmformer.evaluation.reference import ReferenceOutputs
from dmformer.framing import Framing
from dmformer.golden import Golden
from dmformer.preprocessing import Preprocessing, preprocess, preprocess_batch
from dmformer.progress import Progress
from dmformer.runtimes.engine import images_at_once
from dmformer.tasks.base import Outputs, Result, joined_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmformer.model.network import DMFormer

REFERENCE_BATCH, KEPT_BYTES = 64, 1 << 30
"""Images at once of the usual size, and what the file of the outputs may grow to. This project's choice."""
GOLDEN_BYTES = 16 << 20
"""Of all golden outputs together: fewer samples are kept where one has more than its share. This project's choice."""
MAX_GOLDEN_SIDE = 512
"""Larger images are shrunk before they become golden samples, so that a bundle stays small."""


def make_golden(
    reference: DMFormer, samples: Dataset, count: int, preprocessing: Preprocessing, progress: Progress, strange: bool
) -> Golden:
    """Golden samples from real images, spread evenly over a dataset; says which of them cannot be read.

    Of strange ones, which are not of the model's kind, no answer is right.

    Raises:
        DataError: None of the images can be read.
    """
    task = reference.config.task
    log, kept, problem = UnreadableLog(), [], None
    few = subset(samples, min(count, most_golden(reference, preprocessing)))
    for index in range(len(few)):
        try:
            kept.append(few.load(index))
        except DataError as error:
            problem = error
            log.entries.append(Unreadable(few.sample_name(index), error.message))
    if not kept:
        raise problem or DataError(f"{samples.name}: holds no image")
    if log.entries:
        progress.say(f"golden samples: {log.summary()}")
    kept = [_shrunk(sample) for sample in kept]
    images = tuple(sample.image for sample in kept)
    tensors = np.stack([preprocess(image, preprocessing) for image in images])
    targets = tuple(None if strange else task.target(sample, preprocessing) for sample in kept)
    names = tuple(sample.name for sample in kept)
    return Golden(images, tensors, infer(reference, tensors), targets, names, strange)


def most_golden(reference: DMFormer, preprocessing: Preprocessing) -> int:
    """How many golden samples a bundle has room for; at least one."""
    values = prod(side or 1 for side in joined_shape(reference.config.outputs(preprocessing.size)))
    return max(1, GOLDEN_BYTES // (4 * values))


def _shrunk(sample: Sample) -> Sample:
    if max(sample.image.shape[:2]) <= MAX_GOLDEN_SIDE:
        return sample
    picture = Image.fromarray(sample.image)
    picture.thumbnail((MAX_GOLDEN_SIDE, MAX_GOLDEN_SIDE))
    mask = None if sample.mask is None else np.asarray(Image.fromarray(sample.mask).resize(picture.size, 0))
    return replace(sample, image=np.asarray(picture), mask=mask)


def infer(reference: DMFormer, tensors: NDArray[np.float32]) -> Outputs:
    """Outputs of a batch, float32 ``[N, ...]``.

    Raises:
        CheckpointError: They are not finite: nothing could be compared with them.
    """
    import torch

    with torch.inference_mode():
        outputs: Outputs = reference.answer(torch.from_numpy(tensors)).numpy()
    if not np.isfinite(outputs).all():
        raise CheckpointError(
            "the reference's outputs are not finite: PyTorch overflows with these weights",
            "Look for extreme values in the weights, or use a checkpoint before training diverged.",
        )
    return outputs


def reference_outputs(
    reference: DMFormer, dataset: Dataset, framing: Framing, file: Path, progress: Progress
) -> ReferenceOutputs:
    """The reference's outputs on every readable image of a dataset.

    Args:
        reference: The network.
        dataset: The images.
        framing: How they go through it.
        file: Where the outputs go, in a scratch directory, as far as `KEPT_BYTES`; others are computed when asked for.
        progress: Watches, and is told what the outputs tell of the set.

    Raises:
        DataError: More than a few images cannot be read.
        OSError: The file system has no room for the outputs.
    """
    answer = partial(answers, reference, dataset, framing)
    if framing.one_by_one:
        log = UnreadableLog()
        indices = tuple(index for index, _ in readable_samples(dataset, log))
        return ReferenceOutputs(dataset, indices, framing, file, (), 0, answer)
    task, spec = reference.config.task, framing.spec
    tally, read, shape, kept = task.tally(spec.resize), list[int](), tuple[int, ...](), 0
    size = images_at_once(spec.size, REFERENCE_BATCH)
    with file.open("wb") as spool:
        for batch in watched_batches(dataset, spec, task, size, "PyTorch reference", progress):
            full = kept < len(read) or spool.tell() + spool.tell() / max(kept, 1) * len(batch.indices) > KEPT_BYTES
            read.extend(batch.indices)
            # The file holds the first images: a last, smaller batch that would fit must not follow a gap.
            if full:
                continue
            outputs = infer(reference, batch.tensor)
            tally.add(Result(outputs), batch.targets)
            spool.write(outputs.tobytes())
            shape, kept = outputs.shape[1:], kept + len(outputs)
    if kept < len(read):
        progress.say(f"PyTorch's outputs on {len(read) - kept} images are not kept, but computed for each engine")
    elif remark := tally.remark(dataset, read, "PyTorch itself"):
        progress.say(remark)
    return ReferenceOutputs(dataset, tuple(read), framing, file, shape, kept, answer)


def answers(reference: DMFormer, dataset: Dataset, framing: Framing, indices: Sequence[int]) -> Outputs:
    """The reference's outputs ``[n, ...]`` on some images of a dataset."""

    def run(images: Sequence[NDArray[np.uint8]], spec: Preprocessing) -> Result:
        return Result(infer(reference, preprocess_batch(images, spec)))

    samples = [dataset.load(index) for index in indices]
    if framing.one_by_one:
        return np.concatenate([framing.result(sample.image, run, sample.name).outputs for sample in samples])
    return run([sample.image for sample in samples], framing.spec).outputs
