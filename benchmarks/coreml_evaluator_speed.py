"""How long the evaluator of ML Programs takes: `small` at 224x224 in every precision, and the tiny network in batches.

    python -m benchmarks.coreml_evaluator_speed

Random weights: the time does not depend on them. `tiny` has the embedded checkpoint's configuration and sizes, in
batches as `dmformer verify` gives them. Needs coremltools to make the packages; ONNX Runtime runs them. These are the
evaluator's times, not a device's.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dmformer import assets
from dmformer.graph.coreml.conversion import Recipe, convert
from dmformer.graph.coreml.package import write_package
from dmformer.graph.qdq.affine import Range
from dmformer.model.canonical import canonicalize
from dmformer.model.checkpoint import Checkpoint, load_checkpoint
from dmformer.model.network import DMFormer
from dmformer.model.random_weights import random_checkpoint
from dmformer.runtimes.coreml.session import PIXELS_AT_ONCE
from dmformer.runtimes.mlprogram.evaluator import Evaluator
from dmformer.runtimes.mlprogram.package import read_package

REPEATS = 5
PRECISIONS = ("fp32", "fp16", "w8a16", "w8a8")
SPAN = Range(-3.0, 3.0)


def recipe_for(precision: str, checkpoint: Checkpoint, network: DMFormer) -> Recipe:
    layers = tuple(
        name
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear) and "gate" not in name
    )
    if precision in ("fp32", "fp16"):
        return Recipe(checkpoint.preprocessing, half=precision == "fp16")
    ranges = {name: SPAN for name in layers} if precision == "w8a8" else None
    return Recipe(checkpoint.preprocessing, deployment_target="iOS17", int8_layers=layers, ranges=ranges)


def evaluator_for(precision: str, checkpoint: Checkpoint, scratch: Path) -> Evaluator:
    network = canonicalize(checkpoint.build())
    path = scratch / f"{checkpoint.config.widths[0]}-{precision}.mlpackage"
    write_package(convert(network, recipe_for(precision, checkpoint, network)), path)
    return Evaluator(read_package(path), ("logits",))


def seconds(evaluator: Evaluator, pictures: NDArray[np.float32]) -> float:
    """The median of several runs, after one that is not counted."""
    taken = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        evaluator.run({"image": pictures})
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def measure(name: str, checkpoint: Checkpoint, batch: int, scratch: Path) -> None:
    shape = (batch, *checkpoint.preprocessing.shape)
    pictures = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    for precision in PRECISIONS:
        evaluator = evaluator_for(precision, checkpoint, scratch)
        took = seconds(evaluator, pictures) / batch
        size = "x".join(map(str, shape[2:]))
        print(f"{name} at {size}, {precision}, batch {batch}: {took * 1e3:.2f} ms an image", flush=True)


def main() -> None:
    tiny = load_checkpoint(assets.checkpoint())
    height, width = tiny.preprocessing.size
    with tempfile.TemporaryDirectory() as scratch:
        measure("small", random_checkpoint("small"), 1, Path(scratch))
        measure("tiny", tiny, PIXELS_AT_ONCE // (height * width), Path(scratch))


if __name__ == "__main__":
    main()
