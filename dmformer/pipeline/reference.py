"""The answers of the FP32 PyTorch reference: on the golden samples, and on a whole dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dmformer.data.dataset import Dataset, Unreadable, UnreadableLog, iterate_batches, subset
from dmformer.data.folders import better_order
from dmformer.errors import CheckpointError, DataError
from dmformer.evaluation.verify import Answers
from dmformer.golden import Golden
from dmformer.preprocessing import Preprocessing, preprocess
from dmformer.progress import Progress, foretold

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dmformer.model.network import DMFormer

REFERENCE_BATCH = 64
MAX_GOLDEN_SIDE = 512
"""Larger images are shrunk before they become golden samples, so that a bundle stays small."""


def make_golden(
    reference: DMFormer, samples: Dataset, count: int, preprocessing: Preprocessing, progress: Progress
) -> Golden:
    """Golden samples from real images, spread evenly over a dataset; says which of them cannot be read.

    Raises:
        DataError: None of the images can be read.
    """
    chosen = subset(samples, count)
    log = UnreadableLog()
    images, labels, names, problem = [], [], [], None
    for index in range(len(chosen)):
        try:
            sample = chosen.load(index)
        except DataError as error:
            problem = error
            log.entries.append(Unreadable(chosen.sample_name(index), error.message))
            continue
        images.append(_shrunk(sample.image))
        labels.append(-1 if sample.label is None else sample.label)
        names.append(sample.name)
    if not images:
        raise problem or DataError(f"{samples.name}: holds no image")
    if log.entries:
        progress.say(f"golden samples: {log.summary()}")
    tensors = np.stack([preprocess(image, preprocessing) for image in images])
    logits = infer(reference, tensors)
    return Golden(tuple(images), tensors, logits, np.array(labels, np.int64), tuple(names))


def _shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if max(image.shape[:2]) <= MAX_GOLDEN_SIDE:
        return image
    picture = Image.fromarray(image)
    picture.thumbnail((MAX_GOLDEN_SIDE, MAX_GOLDEN_SIDE))
    return np.asarray(picture)


def infer(reference: DMFormer, tensors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of a batch, float32 ``[N, classes]``.

    Raises:
        CheckpointError: They are not finite: nothing could be compared with them.
    """
    import torch

    with torch.inference_mode():
        logits: NDArray[np.float32] = reference(torch.from_numpy(tensors)).numpy()
    if not np.isfinite(logits).all():
        raise CheckpointError(
            "the reference's outputs are not finite: PyTorch overflows with these weights",
            "Look for extreme values in the weights, or use a checkpoint before training diverged.",
        )
    return logits


def answer(reference: DMFormer, dataset: Dataset, preprocessing: Preprocessing, progress: Progress) -> Answers:
    """The reference's answers on every readable image of a dataset.

    Raises:
        DataError: More than a few images cannot be read.
    """
    log = UnreadableLog()
    batches = iterate_batches(dataset, preprocessing, REFERENCE_BATCH, log=log)
    logits, labels = [], []
    indices: list[int] = []
    what, total = "PyTorch reference", -(-len(dataset) // REFERENCE_BATCH)
    for batch in progress.track(foretold(batches, total, what, progress), what, total):
        logits.append(infer(reference, batch.tensor))
        labels.append(batch.labels)
        indices.extend(batch.indices)
    if log.entries:
        progress.say(log.summary())
    known = [part for part in labels if part is not None]
    if said := better_order(dataset, indices, np.concatenate(logits).argmax(axis=1)):
        progress.say(said)
    return Answers(dataset, np.concatenate(logits), np.concatenate(known) if known else None, tuple(indices))
