"""Segmenters to embed: a tiny network of random weights, whose maps have every class but one, and pictures for them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from dmformer import Predictor
from dmformer.bundle import Bundle
from dmformer.model.checkpoint import save_checkpoint
from dmformer.model.random_weights import random_checkpoint
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.tasks.segmentation import Segmentation
from dmformer.tasks.segmentation_heads import FpnHead
from tests.embedding.pictures import picture
from tests.support import TINY

MakeSegmenter = Callable[..., Bundle]
SIZES = ((64, 64), (97, 40), (33, 150))
"""Width and height of the pictures."""
EQUAL = 0.9999
"""Least share of pixels that have the same class in Python and elsewhere."""


def maker(folder: Path) -> MakeSegmenter:
    """Gives the bundle of a segmenter, made once."""

    @functools.cache
    def make(target: str, classes: int = 5, argmax: bool = True) -> Bundle:
        config = TINY.model_copy(update={"head": FpnHead(classes=classes, neck=8, width=8)})
        checkpoint = replace(
            random_checkpoint(config, size=64, name="places"),
            labels=tuple(f"kind {index}" for index in range(classes)),
            palette=tuple((40 * index, 250 - 40 * index, 99) for index in range(classes)),
        )
        weights = folder / f"{target}-{classes}-{argmax}.safetensors"
        save_checkpoint(checkpoint, weights)
        options = ExportOptions(targets=(target,), argmax=argmax, golden_images=3, output=weights.with_suffix(""))
        (outcome,) = export_bundles(weights, options)
        assert outcome.proof.passed, outcome.proof.failures
        return outcome.bundle

    return make


def pictures(folder: Path) -> list[Path]:
    """PNGs of all sizes."""
    paths = [folder / f"{width}x{height}.png" for width, height in SIZES]
    for path, size in zip(paths, SIZES, strict=True):
        Image.fromarray(picture(*size)).save(path)
    return paths


def answers(bundle: Bundle, paths: list[Path]) -> list[Segmentation]:
    """What Python's own predictor answers."""
    with Predictor(bundle, threads=1) as predictor:
        return [answer for answer in predictor.predict(paths) if isinstance(answer, Segmentation)]


def assert_as_python(folder: Path, paths: list[Path], expected: list[Segmentation]) -> None:
    """Compares the pictures that a program wrote with Python's: classes, palette and overlay."""
    for path, answer in zip(paths, expected, strict=True):
        with Image.open(folder / f"{path.name}.classes.png") as classes:
            assert (np.array(classes) == answer.classes).mean() >= EQUAL
            assert tuple(classes.getpalette() or ())[: 3 * len(answer.palette)] == sum(answer.palette, ())
        with Image.open(path) as image, Image.open(folder / f"{path.name}.overlay.png") as overlay:
            found = np.array(overlay)[: image.height, : image.width]
            assert (found == answer.overlay(np.array(image))).all(axis=2).mean() >= EQUAL
