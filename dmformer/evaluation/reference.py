"""What FP32 PyTorch answers on a set of images, as the numbers that everything else is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from dmformer.data.dataset import Dataset
from dmformer.framing import Framing
from dmformer.tasks.base import Outputs


@dataclass(frozen=True)
class ReferenceOutputs:
    """What FP32 PyTorch gives for every readable image of a dataset: kept in a file as far as that may grow.

    Attributes:
        dataset: All images.
        indices: Which of them were readable; the outputs are theirs, in this order.
        framing: How they went through the network.
        file: float32 values, one image after another; gone when the scratch directory that it lies in is.
        shape: Of one image's outputs.
        kept: How many images the file holds, the first ones.
        answer: Computes the outputs ``[n, ...]`` of others, by their indices in the dataset.
    """

    dataset: Dataset
    indices: tuple[int, ...]
    framing: Framing
    file: Path
    shape: tuple[int, ...]
    kept: int
    answer: Callable[[Sequence[int]], Outputs]

    @property
    def images(self) -> Dataset:
        """The readable images."""
        return self.dataset.select(self.indices)

    def read(self, start: int, count: int) -> Outputs:
        """The outputs ``[count, ...]`` of the readable images from ``start`` on."""
        if start + count > self.kept:
            return self.answer(self.indices[start : start + count])
        values = prod(self.shape)
        block = np.fromfile(self.file, np.float32, count * values, offset=start * values * 4)
        return block.reshape(count, *self.shape)

    def take(self, rows: Sequence[int]) -> Outputs:
        """The outputs ``[len(rows), ...]`` of some of the readable images."""
        return np.concatenate([self.read(row, 1) for row in rows])
