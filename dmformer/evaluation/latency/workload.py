"""One call of a candidate, as the chosen boundary draws it, on real images in turn."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmformer.bundle import Bundle
from dmformer.engine_input import from_images
from dmformer.evaluation.latency.candidates import Candidate
from dmformer.evaluation.latency.settings import BenchSettings
from dmformer.evaluation.latency.subject import Run
from dmformer.preprocessing import load_image, preprocess_batch

DIFFERENT_BATCHES = 4
"""Batches that are fed in turn: enough that no runtime sees the same bytes twice in a row."""

T = TypeVar("T")
Call = Callable[[], Any]
Images = list[NDArray[np.uint8]]
Prepare = Callable[[Images], Any]
"""Gives what `Subject.run` takes: an engine's input, or the images themselves where they go through in windows."""


def make_call(candidate: Candidate, bundle: Bundle, settings: BenchSettings, scratch: Path) -> Callable[[Run], Call]:
    """What turns an engine into a call without arguments.

    Args:
        candidate: Says how many images are in a call, and whether PyTorch takes them.
        bundle: Gives preprocessing and, without ``settings.image``, its golden samples.
        settings: The boundary and the image.
        scratch: An empty directory for image files, for the boundary ``file``.

    Raises:
        DataError: The image cannot be read.
    """
    prepare = preparing(candidate, bundle) if settings.tile is None else (lambda images: images)
    batches = image_batches(bundle, candidate.batch, settings)
    if settings.boundary == "engine":
        return _engine([prepare(images) for images in batches])
    if settings.boundary == "preprocess":
        return _preprocess(batches, prepare)
    return _file([write_images(images, scratch, settings, index) for index, images in enumerate(batches)], prepare)


def preparing(candidate: Candidate, bundle: Bundle) -> Prepare:
    """What makes a candidate's input of images: PyTorch takes tensors, whatever the bundle's engine takes."""
    if candidate.kind == "bundle":
        return partial(from_images, bundle.manifest)
    return partial(preprocess_batch, spec=bundle.manifest.preprocessing)


def _engine(inputs: list[Any]) -> Callable[[Run], Call]:
    def bind(run: Run) -> Call:
        source: Iterator[Any] = itertools.cycle(inputs)
        return lambda: run(next(source))

    return bind


def _preprocess(batches: list[Images], prepare: Prepare) -> Callable[[Run], Call]:
    def bind(run: Run) -> Call:
        source = itertools.cycle(batches)
        return lambda: run(prepare(next(source)))

    return bind


def _file(batches: list[list[Path]], prepare: Prepare) -> Callable[[Run], Call]:
    def bind(run: Run) -> Call:
        source = itertools.cycle(batches)
        return lambda: run(prepare([load_image(path) for path in next(source)]))

    return bind


def image_batches(bundle: Bundle, batch: int, settings: BenchSettings) -> list[Images]:
    """A few batches of decoded images."""
    images = [load_image(settings.image)] if settings.image else list(bundle.golden().images)
    source = itertools.cycle(images)
    return [list(itertools.islice(source, batch)) for _ in range(DIFFERENT_BATCHES)]


def write_images(images: Images, scratch: Path, settings: BenchSettings, index: int) -> list[Path]:
    """The files of one batch: the user's own, or the golden samples as PNG."""
    if settings.image:
        return [Path(settings.image)] * len(images)
    paths = []
    for position, image in enumerate(images):
        path = scratch / f"{index}-{position}.png"
        Image.fromarray(image.squeeze()).save(path)
        paths.append(path)
    return paths
