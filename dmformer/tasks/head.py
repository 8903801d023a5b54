"""What stands on the backbone, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from dmformer.fields import Strict

Channels = Annotated[int, Field(ge=1, le=8192)]


@dataclass(frozen=True)
class HeadLayer:
    """One linear layer of a head.

    Attributes:
        inputs: Channels that it reads, and ``outputs`` that it gives.
        kernel: Side of its kernel.
        pixels: Places that it gives; ``pooled`` those of the map whose mean it reads, 0 without one.
    """

    inputs: int
    outputs: int
    kernel: int = 1
    pixels: int = 1
    pooled: int = 0


class Head(Strict):
    """What stands on the backbone, as data; the tasks that know it say which in `Task.heads`.

    Attributes:
        kind: Tells the heads apart.
        classes: How many classes it tells apart.
        network: Of the kind: ``"module:Class"`` of its torch module, made with the `ModelConfig`. It maps the four
            feature maps to outputs; see `dmformer.model.heads`.
        has_weights: Of the kind: whether it has some of its own. One without stands on every backbone.
        resize: Of the kind: how images are resized where nobody says.
        side: Of the kind: the input's, where nobody says.
    """

    kind: str
    classes: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    network: ClassVar[str]
    has_weights: ClassVar[bool] = True
    resize: ClassVar[Literal["exact", "shorter", "letterbox"]] = "shorter"
    side: ClassVar[int] = 224

    def layers(self, widths: Sequence[int], size: tuple[int, int]) -> tuple[HeadLayer, ...]:
        """What it computes for one image of a size; empty where nobody has said."""
        return ()

    def check(self, widths: Sequence[int]) -> None:
        """Raises `ValueError` where it cannot stand on maps of these channels."""
        return

    @classmethod
    def suited(cls, widths: Sequence[int], said: Mapping[str, Any]) -> Head:
        """The head that suits a backbone of these widths; what is said stays."""
        return cls.model_validate(said)

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> Head | None:
        """The head that weights of these shapes, by their names in the network, belong to; None for another kind."""
        return None
