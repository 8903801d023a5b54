"""Speed of a segmenter, `small` with Semantic FPN at 512x512, batch 1: INT8 of every recipe, FP32 and bfloat16 in turn;
then from pixels to the map of classes, decided by the engine (``--argmax``) and by NumPy from its scores.

Weights and calibration images are random: they change the accuracy, not the time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.int8_speed import recipes, show
from benchmarks.timing import interleaved_ms, machine
from dmformer.model.checkpoint import Checkpoint
from dmformer.model.config import preset
from dmformer.model.random_weights import random_checkpoint
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.option_groups import ToleranceOptions
from dmformer.pipeline.options import ExportOptions, Int8Options
from dmformer.prediction.predictor import Predictor
from dmformer.scratch import scratch_directory

IMAGES = 2
RUNTIMES = ("onnxruntime", "openvino")
"""Whose engines are compared with and without the decision inside."""


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
        show(recipes(checkpoint, IMAGES, arguments.rounds))
    if arguments.only != "recipes":
        maps(checkpoint, arguments.rounds)


if __name__ == "__main__":
    main()
