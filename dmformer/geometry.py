"""Where a picture lies in a model's input, and what a grid of values over the input says at each of its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmformer.errors import UsageError

TOTAL_STRIDE = 32
"""Strides 4, 8, 16, 32 (paper, section 3.1): an input side must be divisible by the last."""
Size = tuple[int, int]
"""Height and width."""


@dataclass(frozen=True)
class Placement:
    """The part of an input that shows a picture, in pixels of the input; the rest is padding.

    Attributes:
        top: First row; ``left`` first column.
        height: Rows; ``width`` columns.
    """

    top: int
    left: int
    height: int
    width: int


def placement(picture: Size, size: Size, resize: str) -> Placement:
    """Where a picture lies in an input.

    Args:
        picture: Its height and width.
        size: The input's.
        resize: ``"letterbox"`` fits the whole picture in, centred; ``"exact"`` stretches it; ``"corner"`` leaves it as
            it is, at the top left.

    Raises:
        UsageError: Another resize cuts off parts of a picture.
    """
    if resize == "exact":
        return Placement(0, 0, *size)
    if resize == "corner":
        return Placement(0, 0, *picture)
    if resize != "letterbox":
        raise UsageError(f"resize {resize!r} cuts off parts of a picture", "use --resize letterbox or exact")
    scale = min(size[0] / picture[0], size[1] / picture[1])
    height, width = (min(most, max(1, round(side * scale))) for most, side in zip(size, picture, strict=True))
    return Placement((size[0] - height) // 2, (size[1] - width) // 2, height, width)


@dataclass(frozen=True)
class Sampling:
    """How the pixels of a picture read a grid of values that covers a model's input.

    Attributes:
        rows: Of the grid at the height of each row of the picture, float64 ``[height]``, in steps of the grid from the
            centre of its first row; ``columns`` likewise.
    """

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]

    @classmethod
    def of(cls, picture: Size, placement: Placement, stride: float) -> Sampling:
        """Of a picture that lies so in an input whose grid has a value every ``stride`` pixels: centres on centres."""
        rows, columns = (
            (start + (np.arange(pixels) + 0.5) * length / pixels) / stride - 0.5
            for start, length, pixels in (
                (placement.top, placement.height, picture[0]),
                (placement.left, placement.width, picture[1]),
            )
        )
        return cls(rows, columns)

    def nearest(self, grid: NDArray[np.int64]) -> NDArray[np.int64]:
        """The nearest value of a grid ``[h, w]`` for each pixel ``[H, W]``."""
        rows, columns = (
            np.clip(np.floor(at + 0.5).astype(np.int64), 0, side - 1)
            for at, side in zip((self.rows, self.columns), grid.shape, strict=True)
        )
        return grid[rows[:, None], columns]

    def bilinear(self, grid: Size) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Matrices ``[H, h]`` and ``[W, w]``: what each row and column of the picture takes of a grid ``[h, w]``.

        Half-pixel centres, the outermost values held beyond the edge: PyTorch's ``bilinear`` with ``align_corners``
        False where the picture is the input.
        """
        return _hats(self.rows, grid[0]), _hats(self.columns, grid[1])


def _hats(at: NDArray[np.float64], side: int) -> NDArray[np.float32]:
    distance = np.abs(np.clip(at, 0, side - 1)[:, None] - np.arange(side))
    hats: NDArray[np.float32] = np.maximum(0, 1 - distance).astype(np.float32)
    return hats
