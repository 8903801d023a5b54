"""Features: the four maps of the backbone alone, for whoever has a head of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from dmformer.data.dataset import Dataset, Sample
from dmformer.fields import TensorSpec
from dmformer.geometry import Size
from dmformer.preprocessing import Preprocessing
from dmformer.tasks.base import Decisions, Figure, Legend, Outputs, Result, Tally, Task
from dmformer.tasks.head import Channels, Head
from dmformer.texts import brief

MAPS = {"c2": 4, "c3": 8, "c4": 16, "c5": 32}
"""Strides by name, as Feature Pyramid Networks (Lin et al., arXiv 1612.03144, section 3) call maps of them."""


class FeaturesHead(Head):
    """None: the maps are given as they are, before the classifier's norm.

    Attributes:
        widths: Channels of the four maps.
    """

    kind: Literal["features"] = "features"
    classes: Literal[0] = 0
    widths: tuple[Channels, Channels, Channels, Channels]
    network: ClassVar[str] = "dmformer.model.heads:Features"
    has_weights: ClassVar[bool] = False

    def check(self, widths: Sequence[int]) -> None:
        if self.widths != tuple(widths):
            raise ValueError(f"the head takes maps of {self.widths} channels, the stages give {tuple(widths)}")

    @classmethod
    def suited(cls, widths: Sequence[int], said: Mapping[str, Any]) -> Head:
        return cls.model_validate({"widths": tuple(widths), **said})


@dataclass(frozen=True)
class Features:
    """The maps of one picture.

    Attributes:
        maps: By name, ``c2`` to ``c5`` at strides 4, 8, 16, 32 of the engine's input: float32 ``[C, H, W]``.

    Examples:
        >>> import dmformer
        >>> import numpy as np
        >>> dmformer.Features({"c2": np.zeros((32, 56, 56), np.float32)})
        Features(c2=(32, 56, 56))
    """

    maps: Mapping[str, NDArray[np.float32]]

    def __repr__(self) -> str:
        return brief("Features", {name: map_.shape for name, map_ in self.maps.items()})


class FeatureMaps(Task):
    """Four maps: nothing is decided from them, and nothing is right or wrong; SQNR of each tells how alike they are."""

    name = "features"
    figures: ClassVar[tuple[Figure, ...]] = ()
    heads = (FeaturesHead,)
    demonstration = "images"

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the maps."""
        return self.head.widths if isinstance(self.head, FeaturesHead) else ()

    def output(self, size: Size, batch: int | None) -> TensorSpec:
        return self.outputs(size, batch)[0]

    def outputs(self, size: Size, batch: int | None) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(name=name, shape=(batch, width, size[0] // stride, size[1] // stride))
            for (name, stride), width in zip(MAPS.items(), self.widths, strict=True)
        )

    def parts(self, outputs: Outputs) -> tuple[Outputs, ...]:
        """Each map's values ``[N, channels * places]``: whatever the input's size, its share of them is the same."""
        shares = np.array(
            [width / stride**2 for width, stride in zip(self.widths, MAPS.values(), strict=True)], np.float64
        )
        ends = np.rint(np.cumsum(shares / shares.sum()) * outputs.shape[1]).astype(int)
        return tuple(np.split(outputs, ends[:-1], axis=1))

    def target(self, sample: Sample, spec: Preprocessing) -> None:
        return None

    def check(self, dataset: Dataset) -> None:
        return

    def tally(self, resize: str) -> Tally:
        return NothingRight()

    def answers(self, result: Result, resize: str, legend: Legend, sizes: Sequence[Size], most: int) -> list[Features]:
        rows = zip(*result.several, strict=True)
        return [Features(dict(zip(MAPS, maps, strict=True))) for maps in rows]

    def document(self, answer: Features) -> dict[str, Any]:
        return {
            "maps": {
                name: {"shape": map_.shape, "mean": float(map_.mean()), "std": float(map_.std())}
                for name, map_ in answer.maps.items()
            }
        }

    def lines(self, answer: Features) -> list[str]:
        return [
            f"{name}  {'x'.join(map(str, map_.shape)):>12}  mean {map_.mean():+.3f}  std {map_.std():.3f}"
            for name, map_ in answer.maps.items()
        ]

    def promise(self) -> str:
        return f"four feature maps of {', '.join(map(str, self.widths))} channels"

    def decisions(self, outputs: Outputs) -> Decisions:
        return np.empty((len(outputs), 0), np.int64)

    def margins(self, outputs: Outputs) -> NDArray[np.float64]:
        return np.zeros(len(outputs))


class NothingRight(Tally):
    """Counts nothing."""

    def add(self, result: Result, targets: Sequence[Any]) -> None:
        return

    def figures(self) -> dict[str, float]:
        return {}
