"""INT8 accuracy of the embedded segmenter on the composed test scenes: every recipe side by side, on both CPU runtimes.

Calibrated on composed scenes of training garments on training grounds. Then once more with unevenly scaled channels
(`benchmarks.int8_rescaled`), which is the same function in float. mIoU is counted at the scenes' own resolution, the
agreement at the input's; both against FP32 PyTorch.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.int8_accuracy import logits_of
from benchmarks.int8_recipes import Graphs, accuracy, engines, graphs_of
from benchmarks.int8_rescaled import rescaled
from dmformer import assets
from dmformer.data.dataset import Dataset, iterate_batches, subset
from dmformer.model.checkpoint import Checkpoint, load_checkpoint
from dmformer.pipeline.trial import opened
from dmformer.runtimes.base import Call

SIGMAS = (0.0, 2.0)
BATCH = 50


@dataclass(frozen=True)
class Scenes:
    """Preprocessed scenes ``[N, 3, H, W]`` and their masks."""

    tensors: NDArray[np.float32]
    masks: tuple[Any, ...]


def read(dataset: Dataset, count: int, checkpoint: Checkpoint) -> Scenes:
    spec = checkpoint.preprocessing
    target = partial(checkpoint.config.task.target, spec=spec)
    batches = list(iterate_batches(subset(dataset, count), spec, BATCH, target=target))
    return Scenes(np.concatenate([batch.tensor for batch in batches]), sum((b.targets for b in batches), ()))


def pytorch(checkpoint: Checkpoint) -> Call:
    model = checkpoint.build()

    def call(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(model(torch.from_numpy(batch)).numpy())

    return call


def floats(graphs: Graphs) -> dict[str, dict[str, partial[Call]]]:
    """Our FP32 engines: OpenVINO's is told to keep to float32 on processors that have a shorter type."""
    return {
        target: {"dmformer FP32": partial(opened, target, graphs.canonical, True)}
        for target in ("onnxruntime", "openvino")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=assets.TEST_SCENES)
    parser.add_argument("--calibration", type=int, default=256)
    parser.add_argument("--sigma", type=float, action="append", help="0 and 2 where none is given")
    arguments = parser.parse_args()
    original = load_checkpoint(assets.scenes_checkpoint())
    test = read(assets.test_scenes(), arguments.scenes, original)
    images = read(assets.calibration_scenes(), arguments.calibration, original).tensors
    reference = logits_of(pytorch(original), test.tensors, None)
    row = partial(accuracy, original.config.task, original.preprocessing.resize, reference, targets=test.masks)
    print(f"{'sigma':<7}{'runtime':<12}{'recipe':<52}{'mIoU':>7}{'agreement':>11}{'SQNR dB':>9}")
    print(f"{'':<7}{'PyTorch':<12}{'FP32':<52}{row(outputs=reference)}", flush=True)
    for sigma in arguments.sigma or SIGMAS:
        # ONNX Runtime's own preparation fails where a graph resizes images of an open batch.
        graphs = graphs_of(rescaled(original, sigma), dynamic=False)
        for found in (floats(graphs), engines(graphs, images)):
            for runtime, recipes in found.items():
                for name, open_engine in recipes.items():
                    figures = row(outputs=logits_of(open_engine(), test.tensors, 1))
                    print(f"{sigma:<7g}{runtime:<12}{name:<52}{figures}", flush=True)


if __name__ == "__main__":
    main()
