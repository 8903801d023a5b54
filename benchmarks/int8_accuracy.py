"""INT8 accuracy of the embedded checkpoint on all 10,000 test images: every recipe side by side.

Calibrated on 256 of the embedded calibration images, which are from the training set.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.int8_recipes import engines, graphs_of
from dmformer import assets
from dmformer.data.dataset import iterate_batches, subset
from dmformer.data.open import open_dataset
from dmformer.evaluation.metrics import compare
from dmformer.model.checkpoint import Checkpoint
from dmformer.pipeline.sources import resolve_checkpoint
from dmformer.pipeline.trial import answers, opened

CALIBRATION_IMAGES = 256
RUN_BATCH = 100


def tensors(
    path: Path, checkpoint: Checkpoint, most: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Preprocessed images and their labels."""
    dataset = open_dataset(path)
    chosen = dataset if most is None else subset(dataset, most)
    found = [(batch.tensor, batch.labels) for batch in iterate_batches(chosen, checkpoint.preprocessing, 500)]
    labels = [part for _, part in found if part is not None]
    return np.concatenate([part for part, _ in found]), np.concatenate(labels)


def main() -> None:
    checkpoint = resolve_checkpoint(None)
    graphs = graphs_of(checkpoint, dynamic=True)
    images, _ = tensors(assets.CALIBRATION_IMAGES, checkpoint, CALIBRATION_IMAGES)
    test, labels = tensors(assets.TEST_IMAGES, checkpoint)
    reference = answers(opened("onnxruntime", graphs.plain), test, RUN_BATCH)
    print(f"{'runtime':<12}{'recipe':<52}{'top-1':>7}{'agreement':>11}{'SQNR dB':>9}")
    float_top1 = float((reference.argmax(1) == labels).mean() * 100)
    print(f"{'onnxruntime':<12}{'FP32':<52}{float_top1:7.2f}")
    for runtime, recipes in engines(graphs, images).items():
        for name, open_engine in recipes.items():
            row = compare(reference, answers(open_engine(), test, RUN_BATCH), labels, "test", "0" * 64)
            print(f"{runtime:<12}{name:<52}{row.top1:7.2f}{row.agreement:11.2%}{row.sqnr_db:9.2f}", flush=True)


if __name__ == "__main__":
    main()
