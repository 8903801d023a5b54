"""What documents read from disk are made of: the strict base of their models, bounded numbers, and a tensor."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dmformer.texts import brief

MAX_ELEMENTS = 1 << 28
"""Of one input: a GiB of float32."""

Dimension = Annotated[int, Field(ge=1, le=1 << 24)]
Share = Annotated[float, Field(ge=0, le=1 + 1e-6)]
"""A part of a whole; sums of parts are rounded."""
Decibels = Annotated[float, Field(ge=-1e6, le=1e6)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Channel = Annotated[int, Field(ge=0, le=255)]
Colour = tuple[Channel, Channel, Channel]
"""Red, green, blue."""
Palette = tuple[Colour, ...]
"""A colour for each class."""


class Strict(BaseModel):
    """Base of what is read from disk: immutable, no field that this version does not know, every number finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __repr__(self) -> str:
        return brief(type(self).__name__, dict(self))


class TensorSpec(Strict):
    """Name, shape and dtype of an engine's input or output, batch first; None is a dynamic dimension.

    Attributes:
        layout: Of an input that takes images: preprocessed tensors are NCHW, pixels (uint8) NHWC; None means NCHW.
    """

    name: Annotated[str, Field(min_length=1, max_length=256)]
    shape: Annotated[tuple[Dimension | None, ...], Field(min_length=2, max_length=8)]
    dtype: Literal["float32", "float16", "uint8", "int32"] = "float32"
    layout: Literal["NCHW", "NHWC"] | None = None


class Score(Strict):
    """One figure of a task on one set of images, in the figure's unit.

    Attributes:
        engine: What the engine reached.
        reference: What PyTorch reached; None where that is not at hand.
    """

    engine: Annotated[float, Field(ge=-1e12, le=1e12)]
    reference: Annotated[float, Field(ge=-1e12, le=1e12)] | None = None

    @property
    def drop(self) -> float | None:
        """How much of the figure the engine lost against PyTorch."""
        return None if self.reference is None else self.reference - self.engine


def check_elements(shape: tuple[int | None, ...]) -> None:
    """Raises `ValueError` where one input would take more memory than any engine's."""
    elements = math.prod(size or 1 for size in shape)
    if elements > MAX_ELEMENTS:
        raise ValueError(f"an input of {elements} values: {MAX_ELEMENTS} are allowed")
