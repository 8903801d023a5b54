"""Rounding to float16 in float32 arrays is NumPy's, bit for bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from dmformer.runtimes.mlprogram.rounding import PART, to_half

HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


def expected(x: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return x.astype(np.float16).astype(np.float32)


def check(x: NDArray[np.float32]) -> None:
    found, wanted = to_half(x), expected(x)
    assert found.shape == x.shape
    assert found.dtype == np.float32
    known = ~np.isnan(wanted)
    assert np.array_equal(np.isnan(found), ~known)
    assert np.array_equal(found[known].view(np.uint32), wanted[known].view(np.uint32)), "the sign of zero included"


def test_every_half_stays_and_its_neighbours_and_midpoints_round_to_even() -> None:
    halves = np.sort(HALVES[np.isfinite(HALVES)].astype(np.float32))
    middles = ((halves[1:].astype(np.float64) + halves[:-1]) / 2).astype(np.float32)
    values: NDArray[np.float32]
    for values in (halves, middles):
        check(values)
        for direction in (np.float32(np.inf), np.float32(-np.inf)):
            check(np.asarray(np.nextafter(values, direction), np.float32))
    check(np.array([65504, 65519.996, 65520, 65536, 3e38, -65520, -3e38, np.inf, -np.inf, np.nan], np.float32))


@settings(max_examples=100, deadline=None)
@given(arrays(np.float32, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4), elements=st.floats(width=32)))
def test_any_number(x: NDArray[np.float32]) -> None:
    check(x)


def test_any_bits_in_arrays_longer_than_a_part() -> None:
    bits = np.random.default_rng(0).integers(0, 1 << 32, 2 * PART + 17, dtype=np.uint32)
    check(bits.view(np.float32))
    square = bits[: 1 << 12].view(np.float32).reshape(64, 64)
    check(square.T)


def test_the_caller_s_array_is_left_alone() -> None:
    x = np.array([1 / 3], np.float32)
    to_half(x)
    assert x[0] == np.float32(1 / 3)
