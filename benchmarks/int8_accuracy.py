"""INT8 accuracy of the embedded checkpoint on all 10,000 test images: every recipe side by side.

Calibrated on 256 of the embedded calibration images, which are from the training set.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.int8_recipes import accuracy, engines, graphs_of
from dmformer import assets
from dmformer.data.dataset import iterate_batches, subset
from dmformer.data.open import open_dataset
from dmformer.model.checkpoint import Checkpoint
from dmformer.pipeline.sources import resolve_checkpoint
from dmformer.pipeline.trial import opened, outputs_of
from dmformer.runtimes.base import Call
from dmformer.tasks.classification import Classification, LinearHead

CALIBRATION_IMAGES = 256
RUN_BATCH = 100


def tensors(
    path: Path, checkpoint: Checkpoint, most: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Preprocessed images and their labels."""
    dataset = open_dataset(path)
    chosen = dataset if most is None else subset(dataset, most)
    batches = list(iterate_batches(chosen, checkpoint.preprocessing, 500, target=lambda sample: sample.label))
    labels = [label for batch in batches for label in batch.targets]
    return np.concatenate([batch.tensor for batch in batches]), np.array(labels, np.int64)


def logits_of(call: Call, images: NDArray[np.float32], batch: int | None) -> NDArray[np.float32]:
    """A graph's logits on all images."""
    return np.concatenate([outputs for _, outputs in outputs_of(call, images, batch)])


def row(reference: NDArray[np.float32], outputs: NDArray[np.float32], labels: NDArray[np.int64]) -> str:
    """Top-1, agreement and SQNR, as the columns of a table."""
    task = Classification(LinearHead(classes=reference.shape[1]))
    return accuracy(task, "shorter", reference, outputs, labels.tolist())


def main() -> None:
    checkpoint = resolve_checkpoint(None)
    graphs = graphs_of(checkpoint, dynamic=True)
    images, _ = tensors(assets.calibration_images(), checkpoint, CALIBRATION_IMAGES)
    test, labels = tensors(assets.test_images(), checkpoint)
    reference = logits_of(opened("onnxruntime", graphs.plain), test, RUN_BATCH)
    print(f"{'runtime':<12}{'recipe':<52}{'top-1':>7}{'agreement':>11}{'SQNR dB':>9}")
    float_top1 = float((reference.argmax(1) == labels).mean() * 100)
    print(f"{'onnxruntime':<12}{'FP32':<52}{float_top1:7.2f}")
    for runtime, recipes in engines(graphs, images).items():
        for name, open_engine in recipes.items():
            figures = row(reference, logits_of(open_engine(), test, RUN_BATCH), labels)
            print(f"{runtime:<12}{name:<52}{figures}", flush=True)


if __name__ == "__main__":
    main()
