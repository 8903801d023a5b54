"""Speed of a segmenter, `small` with Semantic FPN at 512x512, batch 1: INT8 of every recipe, FP32 and bfloat16 in turn;
then from pixels to the map of classes, decided by the engine (``--argmax``) and by NumPy from its scores.

Weights and calibration images are random: they change the accuracy, not the time.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import openvino
import torch

from benchmarks.int8_recipes import compiled, engines, graphs_of
from benchmarks.int8_speed import show
from benchmarks.timing import interleaved_ms, machine
from dmformer.model.checkpoint import Checkpoint
from dmformer.model.config import preset
from dmformer.model.random_weights import random_checkpoint
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.option_groups import ToleranceOptions
from dmformer.pipeline.options import ExportOptions, Int8Options
from dmformer.pipeline.trial import opened
from dmformer.prediction.predictor import Predictor
from dmformer.runtimes.base import Call
from dmformer.scratch import scratch_directory

IMAGES = 2
RUNTIMES = ("onnxruntime", "openvino")
"""Whose engines are compared with and without the decision inside."""


def recipes(checkpoint: Checkpoint, rounds: int) -> dict[str, float]:
    """Milliseconds of one image, by engine."""
    graphs = graphs_of(checkpoint, dynamic=False)
    images = np.random.default_rng(0).standard_normal((IMAGES, *checkpoint.preprocessing.shape), dtype=np.float32)
    model = checkpoint.build()
    converted = {
        name: openvino.convert_model(io.BytesIO(graph.SerializeToString()))
        for name, graph in (("plain", graphs.plain), ("canonical", graphs.canonical))
    }
    candidates: dict[str, Call] = {
        "pytorch eager FP32": lambda batch: model(torch.from_numpy(batch)).numpy(),
        "onnxruntime FP32, canonical": opened("onnxruntime", graphs.canonical),
        "openvino FP32, canonical": compiled(converted["canonical"], "f32"),
        "openvino bf16, plain": compiled(converted["plain"]),
        "openvino bf16, canonical": compiled(converted["canonical"]),
    }
    for runtime, made in engines(graphs, images).items():
        candidates |= {f"{runtime} INT8, {name}": open_engine() for name, open_engine in made.items()}
    with torch.inference_mode():
        return interleaved_ms({name: partial(call, images[:1]) for name, call in candidates.items()}, rounds)


def maps(checkpoint: Checkpoint, rounds: int) -> None:
    """Prints the time from a picture to its map of classes, of INT8 engines that decide themselves and that do not."""
    picture = np.random.default_rng(1).integers(0, 256, (*checkpoint.preprocessing.size, 3), dtype=np.uint8)
    candidates: dict[str, Callable[[], object]] = {}
    with scratch_directory() as scratch:
        for decides in (False, True):
            for predictor, target in engines_of(checkpoint, decides, scratch / str(decides)):
                candidates[f"{target}, {'--argmax' if decides else 'scores'}"] = partial(predictor.predict, picture)
        found = interleaved_ms(candidates, rounds)
    for target in RUNTIMES:
        scores, map_ = found[f"{target}, scores"], found[f"{target}, --argmax"]
        print(f"{target}: {scores:.1f} ms with scores and NumPy, {map_:.1f} ms with --argmax: {scores / map_:.2f}x")


def engines_of(checkpoint: Checkpoint, decides: bool, output: Path) -> list[tuple[Predictor, str]]:
    """INT8 engines that take pixels; random weights are held to nothing."""
    options = ExportOptions(
        targets=RUNTIMES,
        precision="int8",
        argmax=decides,
        embed_preprocessing=True,
        output=output,
        golden_images=1,
        int8=Int8Options(allow_random=True, images=IMAGES),
        tolerance=ToleranceOptions(max_error=1e6, min_agreement=0, min_sqnr=-100),
    )
    made = export_bundles(checkpoint, options)
    return [(Predictor(outcome.bundle.path), target) for outcome, target in zip(made, RUNTIMES, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--head", default="fpn")
    parser.add_argument("--classes", type=int, default=150)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", choices=("recipes", "maps"), help="both where it is left out")
    arguments = parser.parse_args()
    print(machine())
    config = preset(arguments.preset, arguments.classes, arguments.head)
    checkpoint = random_checkpoint(config, size=arguments.size)
    if arguments.only != "maps":
        show(recipes(checkpoint, arguments.rounds))
    if arguments.only != "recipes":
        maps(checkpoint, arguments.rounds)


if __name__ == "__main__":
    main()
