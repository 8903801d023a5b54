"""What a program declares as float16 is rounded as NumPy rounds, bit for bit, after each operator and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from dmformer.runtimes.mlprogram.evaluator import Evaluator
from dmformer.runtimes.mlprogram.messages import Type
from tests.coreml.programs import operation, package, run

Float = NDArray[np.float32]
HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
HALF = (("result", "float16"),)


def half(x: Any) -> Float:
    """Rounded by NumPy."""
    with np.errstate(over="ignore"):
        return np.asarray(x).astype(np.float16).astype(np.float32)


def check(x: Float) -> None:
    rounded, expected = run("identity", HALF, x=x), half(x)
    assert (rounded.shape, rounded.dtype) == (x.shape, np.float32)
    known = ~np.isnan(expected)
    assert np.array_equal(np.isnan(rounded), ~known)
    assert np.array_equal(rounded[known].view(np.uint32), expected[known].view(np.uint32)), "the sign of zero included"


def test_every_half_stays_and_its_neighbours_and_midpoints_round_to_even() -> None:
    halves = np.sort(HALVES[np.isfinite(HALVES)].astype(np.float32))
    middles = ((halves[1:].astype(np.float64) + halves[:-1]) / 2).astype(np.float32)
    values: Float
    for values in (halves, middles):
        check(values)
        for direction in (np.float32(np.inf), np.float32(-np.inf)):
            check(np.asarray(np.nextafter(values, direction), np.float32))
    check(np.array([65504, 65519.996, 65520, 65536, 3e38, -65520, -3e38, np.inf, -np.inf, np.nan], np.float32))


@settings(max_examples=100, deadline=None)
@given(arrays(np.float32, array_shapes(min_dims=1, max_dims=4, max_side=4), elements=st.floats(width=32)))
def test_any_number(x: Float) -> None:
    check(x)


def chain(*steps: tuple[str, Any], dtype: str = "float16") -> Any:
    """A program of sums and products with constants, one after the other."""
    names = ["x", *(f"value{index}" for index in range(len(steps)))]
    operations = [
        operation(kind, ((names[index + 1], dtype),), x=[names[index]], y=y) for index, (kind, y) in enumerate(steps)
    ]
    return operations, names[-1]


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.float32, 7, elements=st.floats(-300, 300, width=16)),
    st.lists(st.tuples(st.sampled_from(["add", "mul"]), st.floats(-300, 300, width=16)), min_size=1, max_size=6),
)
def test_no_operator_is_merged_with_the_next(x: Float, steps: list[tuple[str, float]]) -> None:
    """Sums and products in a row: each is rounded, and what has overflowed stays infinite."""
    operations, last = chain(*((kind, np.float16(y)) for kind, y in steps))
    expected = x
    with np.errstate(all="ignore"):
        for kind, y in steps:
            expected = half(expected + np.float32(y) if kind == "add" else expected * np.float32(y))
    result = Evaluator(package(operations, {"x": Type("float32", x.shape)}, [last])).run({"x": x})[last]
    assert np.array_equal(result, expected, equal_nan=True)


def test_a_layer_rounds_its_sum_before_the_activation_and_the_addition() -> None:
    generator = np.random.default_rng(0)
    x, weight = (
        generator.standard_normal(shape, np.float32).astype(np.float16) for shape in ((1, 8, 6, 6), (8, 8, 1, 1))
    )
    operations = [
        operation("conv", (("y", "float16"),), x=["x"], weight=weight),
        operation("relu", (("z", "float16"),), x=["y"]),
        operation("add", HALF, x=["z"], y=["x"]),
    ]
    program = package(operations, {"x": Type("float16", x.shape)}, ["y", "z", "result"])
    results = Evaluator(program).run({"x": x.astype(np.float32)})
    exact = np.einsum("oi,bihw->bohw", weight[..., 0, 0].astype(np.float64), x.astype(np.float64))
    # The order of the sums may bring a value to the other side of a midpoint.
    np.testing.assert_allclose(results["y"], exact, rtol=2**-11, atol=2**-14)
    assert np.array_equal(results["z"], np.maximum(results["y"], 0))
    assert np.array_equal(results["result"], half(results["z"] + x.astype(np.float32)))
    alone = Evaluator(package(operations, {"x": Type("float16", x.shape)})).run({"x": x.astype(np.float32)})
    assert np.array_equal(alone["result"], results["result"]), "ONNX Runtime may fuse what is no output"


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_an_input_is_rounded_where_the_program_s_is_half(dtype: str) -> None:
    x = np.array([1 / 3, 1e6], np.float32)
    program = package([operation("identity", x=["x"])], {"x": Type(dtype, x.shape)})
    assert np.array_equal(Evaluator(program).run({"x": x})["result"], half(x) if dtype == "float16" else x)


def test_codes_and_what_they_stand_for_are_rounded_too() -> None:
    x, scale = np.linspace(-2, 2, 99, dtype=np.float32), np.float16(0.0123)
    operations = [
        operation("quantize", (("codes", "int8"),), input=["x"], scale=scale, output_dtype="int8"),
        operation("dequantize", HALF, input=["codes"], scale=scale),
        operation("add", (("sum", "float16"),), x=["result"], y=["x"]),
    ]
    results = Evaluator(package(operations, {"x": Type("float16", x.shape)}, ["codes", "result", "sum"])).run({"x": x})
    codes = np.clip(np.rint(half(x) / np.float32(scale)), -128, 127)
    assert np.array_equal(results["codes"], codes)
    assert np.array_equal(results["result"], half(codes.astype(np.float32) * np.float32(scale)))
    assert np.array_equal(results["sum"], half(results["result"] + half(x)))
