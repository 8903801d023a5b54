"""Pictures with masks that are made when they are asked for: `ComposedDataset`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dmformer.data.dataset import Sample, loaded_hashes
from dmformer.fields import Palette


class Pictures(Protocol):
    """Makes picture i: uint8 RGB ``[H, W, 3]`` and its mask int16 ``[H, W]``, always the same."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[NDArray[np.uint8], NDArray[np.int16]]: ...

    def digest(self) -> str:
        """SHA-256 (hex) of all that the pictures follow from."""
        ...


@dataclass(frozen=True, eq=False)
class ComposedDataset:
    """Pictures that are made one at a time; a `dmformer.data.dataset.Dataset`.

    Attributes:
        name: Short name for reports.
        pictures: Makes them.
        classes: Class names by value of the masks.
        palette: A colour, RGB of 0 to 255, for each class.
        positions: Which of the pictures belong to the set, in order; None for all.
        notes: What the pictures are, one line each.
    """

    name: str
    pictures: Pictures
    classes: tuple[str, ...]
    palette: Palette
    positions: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()

    labels = None
    labelled = True

    def __len__(self) -> int:
        return len(self.pictures) if self.positions is None else len(self.positions)

    def _position(self, index: int) -> int:
        return range(len(self.pictures))[index] if self.positions is None else self.positions[index]

    def sample_name(self, index: int) -> str:
        return f"{self.name}[{self._position(index)}]"

    def load(self, index: int) -> Sample:
        image, mask = self.pictures[self._position(index)]
        return Sample(image, None, self.sample_name(index), mask)

    def select(self, indices: Sequence[int]) -> ComposedDataset:
        return replace(self, positions=tuple(self._position(index) for index in indices))

    def digest(self) -> str:
        chosen = sorted(self._position(index) for index in range(len(self)))
        return hashlib.sha256(f"{self.pictures.digest()} {chosen} {self.classes}".encode()).hexdigest()

    def content_hashes(self) -> Iterator[str]:
        return loaded_hashes(self)
