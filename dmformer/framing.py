"""How a picture goes through a network whose input has another size: brought to its size, or in windows of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmformer.errors import DataError, UsageError
from dmformer.geometry import TOTAL_STRIDE, Size
from dmformer.manifest import Manifest
from dmformer.preprocessing import Preprocessing
from dmformer.tasks.base import Outputs, Result

Pixels = NDArray[np.uint8]
Run = Callable[[Sequence[Pixels], Preprocessing], Result]
"""What a network gives for images that become its input so."""
LONGEST = 4
"""Of an open input the longer side is at most so many times the shorter one: mmsegmentation's 2048 for 512."""
MOST_OVERLAP = 0.9
CORNER = "corner"
"""How a picture lies in the outputs of its windows: unscaled, at the top left."""


@dataclass(frozen=True)
class Framing:
    """How pictures go through a network.

    Attributes:
        spec: How an image becomes its input, of the usual size.
        open_size: Whether the network takes other sizes too: then a picture keeps its ratio of sides.
        overlap: Part of a window that the next one covers again; None uses no windows.
    """

    spec: Preprocessing
    open_size: bool = False
    overlap: float | None = None

    def __post_init__(self) -> None:
        if self.overlap is not None and not 0 <= self.overlap <= MOST_OVERLAP:
            raise UsageError(f"tiles cannot overlap by {self.overlap}", f"give 0 to {MOST_OVERLAP}, as 0.33 of a side")

    @property
    def one_by_one(self) -> bool:
        """Whether each picture's outputs have a size of their own."""
        return self.open_size or self.overlap is not None

    @property
    def resize(self) -> str:
        """How a picture lies in what `result` gives, as `dmformer.geometry.placement` takes it."""
        return self.spec.resize if self.overlap is None else CORNER

    def result(self, image: Pixels, run: Run, name: str = "the picture") -> Result:
        """What a network gives for one picture of any size.

        Args:
            image: uint8 ``[H, W, C]``.
            run: The network.
            name: Of the picture, for messages.

        Raises:
            DataError: It is smaller than a window.
        """
        if self.overlap is not None:
            return Result(self._averaged(image, run, name))
        size = kept_ratio((image.shape[0], image.shape[1]), self.spec.size) if self.open_size else self.spec.size
        return run([image], self.spec.model_copy(update={"size": size}))

    def _averaged(self, image: Pixels, run: Run, name: str) -> Outputs:
        """Scores of all windows, averaged where they overlap: ``[1, planes, h, w]`` over picture and padding."""
        height, width = self.spec.size
        if image.shape[0] < height or image.shape[1] < width:
            raise DataError(
                f"{name}: {image.shape[0]}x{image.shape[1]} is smaller than a tile of {height}x{width}",
                "leave out --tile: one input shows it as a whole",
            )
        # Whole multiples of the total stride, so that the grids of all windows are parts of one.
        sides = [-(-side // TOTAL_STRIDE) * TOTAL_STRIDE for side in image.shape[:2]]
        canvas = np.pad(image, ((0, sides[0] - image.shape[0]), (0, sides[1] - image.shape[1]), (0, 0)), "edge")
        sums = counts = np.empty(0, np.float32)
        for top, left, outputs in self._windows(canvas, run):
            stride = height // outputs.shape[1]
            if not sums.size:
                grid = (sides[0] // stride, sides[1] // stride)
                sums, counts = np.zeros((len(outputs), *grid), np.float32), np.zeros(grid, np.float32)
            place = np.s_[top // stride : (top + height) // stride, left // stride : (left + width) // stride]
            sums[(slice(None), *place)] += outputs
            counts[place] += 1
        return (sums / counts)[None]

    def _windows(self, canvas: Pixels, run: Run) -> Iterator[tuple[int, int, Outputs]]:
        """First row and column of every window and its scores ``[planes, h, w]``, a row of windows at a time."""
        (height, width), overlap = self.spec.size, self.overlap or 0.0
        for top in starts(canvas.shape[0], height, overlap):
            lefts = starts(canvas.shape[1], width, overlap)
            crops = [canvas[top : top + height, left : left + width] for left in lefts]
            for left, outputs in zip(lefts, run(crops, self.spec).outputs, strict=True):
                yield top, left, outputs


def starts(side: int, window: int, overlap: float) -> tuple[int, ...]:
    """Where windows begin along a side, in multiples of the total stride; the last ends with the side."""
    step = max(TOTAL_STRIDE, int(window * (1 - overlap)) // TOTAL_STRIDE * TOTAL_STRIDE)
    return (*range(0, side - window, step), side - window)


def kept_ratio(picture: Size, usual: Size) -> Size:
    """The size of an open input for a picture: the shorter side is the usual one's, the ratio of the sides is kept."""
    short = min(usual)
    scale = min(short / min(picture), LONGEST * short / max(picture))
    height, width = (max(TOTAL_STRIDE, -(-round(side * scale) // TOTAL_STRIDE) * TOTAL_STRIDE) for side in picture)
    return height, width


def framing_of(manifest: Manifest, overlap: float | None = None) -> Framing:
    """How pictures go through the engine of a manifest; in windows where an overlap is given.

    Raises:
        UsageError: Windows cannot overlap so, or answers to them make none for the picture.
    """
    task = manifest.task
    if overlap is not None and not task.has_places:
        raise UsageError(f"--tile does nothing for {task.name}", "leave it out")
    return Framing(manifest.preprocessing, manifest.open_size and task.has_places, overlap)
