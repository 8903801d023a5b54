"""Pictures for segmenters, and what Python finds and draws on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from dmformer import Predictor
from dmformer.tasks.segmentation import Segmentation
from tests.embedding.pictures import picture

SIZES = ((64, 64), (97, 40), (33, 150))
"""Width and height of the pictures."""
EQUAL = 0.9999
"""Least share of pixels that have the same class in Python and elsewhere."""


def pictures(folder: Path) -> list[Path]:
    """PNGs of all sizes."""
    paths = [folder / f"{width}x{height}.png" for width, height in SIZES]
    for path, size in zip(paths, SIZES, strict=True):
        Image.fromarray(picture(*size)).save(path)
    return paths


def answers(bundle: Path, paths: list[Path]) -> list[Segmentation]:
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
