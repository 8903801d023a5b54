"""float32 arrays with the values that float16 has: the same as going there and back, at a fraction of the time.

NumPy converts to float16 one number at a time, and takes fifty times as long over one that is too small for it. IEEE
754's rounding to nearest, ties to even, is an addition and a mask on the bits of float32 wherever the result is a
normal half, and an addition of 0.75, whose last bit is the smallest half, where it is not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

DROPPED = 13
"""Bits of a float32's fraction that a float16 has not got."""
BELOW_HALF = np.uint32((1 << DROPPED - 1) - 1)
KEPT = np.uint32(0xFFFFFFFF << DROPPED & 0xFFFFFFFF)
SMALLEST_NORMAL, INFINITE = np.float32(2.0**-14), np.float32(65520)
"""The smallest normal half, and the smallest number that becomes infinity."""
COARSE = np.float32(0.75)
PART = 1 << 15
"""Values handled together: what the passes over them read and write stays in a core's own cache."""


def to_half(x: NDArray[np.floating]) -> Float:
    """Rounds each value to the nearest float16, ties to even.

    Args:
        x: float32 of any shape, infinities and NaN included; float64 is rounded to float32 first.

    Returns:
        A new float32 array with the values of ``x.astype(float16)``: from 65520 infinity, up to 2**-25 zero.
    """
    found = np.array(x, np.float32, order="C")
    flat = found.reshape(-1)
    scratch = np.empty(min(PART, flat.size), np.float32)
    for start in range(0, flat.size, PART):
        _round_in_place(flat[start : start + PART], scratch)
    return found


def _round_in_place(values: Float, scratch: Float) -> None:
    spare = scratch[: len(values)]
    odd = _not_normal(values, spare)
    kept = _rounded_odd(values[odd]) if len(odd) else None
    bits, places = values.view(np.uint32), spare.view(np.uint32)
    np.right_shift(bits, DROPPED, out=places)
    places &= 1
    places += BELOW_HALF
    bits += places
    bits &= KEPT
    if kept is not None:
        values[odd] = kept


def _not_normal(values: Float, spare: Float) -> NDArray[np.intp]:
    """Where a value becomes neither zero's nor a normal half's."""
    magnitudes = np.abs(values, out=spare)
    # Zeros are left out of the search for small values: there are many, after each ReLU.
    odd = (magnitudes < SMALLEST_NORMAL) & (magnitudes > 0)
    # "At least" would miss NaN.
    if not magnitudes.max() < INFINITE:
        odd |= ~(magnitudes < INFINITE)
    return np.flatnonzero(odd)


def _rounded_odd(values: Float) -> Float:
    with np.errstate(invalid="ignore"):
        small = np.copysign((values + COARSE) - COARSE, values)
        return np.where(np.abs(values) < SMALLEST_NORMAL, small, values * np.float32(np.inf))
