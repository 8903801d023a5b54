"""The arithmetic of 8-bit quantization: ranges, scales and zero points (ONNX QuantizeLinear).

``q = clip(round(x / scale) + zero_point, lowest, highest)``, ``x' = (q - zero_point) * scale``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SMALLEST_SCALE = 1e-12
"""Stands for the scale of a tensor that is zero throughout."""


@dataclass(frozen=True)
class Range:
    """The values from ``low`` to ``high`` that an activation takes, in the activation's own units."""

    low: float
    high: float


@dataclass(frozen=True)
class IntType:
    """An 8-bit type and the part of it that is used.

    Attributes:
        signed: int8, otherwise uint8.
        lowest: Smallest code in use.
        highest: Largest code in use.
        symmetric: Whether the zero point is fixed at 0.
    """

    signed: bool
    lowest: int
    highest: int
    symmetric: bool

    @property
    def dtype(self) -> type[np.int8] | type[np.uint8]:
        return np.int8 if self.signed else np.uint8


U8 = IntType(signed=False, lowest=0, highest=255, symmetric=False)
S8 = IntType(signed=True, lowest=-128, highest=127, symmetric=False)
S8_SYMMETRIC = IntType(signed=True, lowest=-127, highest=127, symmetric=True)

Precision = Literal["int8", "float"]


@dataclass(frozen=True)
class Affine:
    """Scale and zero point of one quantized tensor, of the code type ``kind``."""

    scale: float
    zero_point: int
    kind: IntType


def affine(span: Range, kind: IntType) -> Affine:
    """Scale and zero point that cover ``span`` and represent zero exactly.

    Args:
        span: Finite ends; zero is included where they leave it out.
        kind: The type of the codes.
    """
    low, high = min(span.low, 0.0), max(span.high, 0.0)
    if kind.symmetric:
        reach = (kind.highest - kind.lowest) // 2
        scale = max(high, -low) / reach
        return Affine(_positive(scale), 0, kind)
    scale = _positive((high - low) / (kind.highest - kind.lowest))
    zero_point = int(np.clip(np.rint(kind.lowest - low / scale), kind.lowest, kind.highest))
    return Affine(scale, zero_point, kind)


def _positive(scale: float) -> float:
    return float(np.float32(max(scale, SMALLEST_SCALE)))


def channel_scales(weight: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Symmetric scale of each output channel.

    Args:
        weight: ``[out, ...]``.
        reach: The largest code, 127 or 63.

    Returns:
        float32 ``[out]``, positive.
    """
    largest = np.abs(weight.reshape(len(weight), -1)).max(axis=1)
    scales: NDArray[np.float32] = np.maximum(largest / reach, SMALLEST_SCALE).astype(np.float32)
    return scales


def quantize_weight(weight: NDArray[np.float32], scales: NDArray[np.float32], reach: int) -> NDArray[np.int8]:
    """int8 codes of a weight ``[out, ...]`` with one scale for each output channel."""
    shaped = scales.reshape(-1, *[1] * (weight.ndim - 1))
    codes: NDArray[np.int8] = np.clip(np.rint(weight / shaped), -reach, reach).astype(np.int8)
    return codes
