"""The reference's outputs on a dataset. They may be larger than memory, so they lie in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from dmformer.data.dataset import Dataset
from dmformer.tasks.base import Outputs


@dataclass(frozen=True)
class ReferenceOutputs:
    """What FP32 PyTorch gives for every readable image of a dataset.

    Attributes:
        dataset: All images.
        indices: Which of them were readable; the outputs are theirs, in this order.
        file: float32 values, one image after another; gone when the scratch directory that it lies in is.
        shape: Of one image's outputs.
    """

    dataset: Dataset
    indices: tuple[int, ...]
    file: Path
    shape: tuple[int, ...]

    @property
    def images(self) -> Dataset:
        """The readable images."""
        return self.dataset.select(self.indices)

    def read(self, start: int, count: int) -> Outputs:
        """The outputs ``[count, ...]`` of the readable images from ``start`` on."""
        values = prod(self.shape)
        block = np.fromfile(self.file, np.float32, count * values, offset=start * values * 4)
        return block.reshape(count, *self.shape)

    def take(self, rows: Sequence[int]) -> Outputs:
        """The outputs ``[len(rows), ...]`` of some of the readable images."""
        return np.concatenate([self.read(row, 1) for row in rows])
