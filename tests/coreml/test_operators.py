"""Every operator as it is translated, against PyTorch or NumPy, on drawn shapes and attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from dmformer.runtimes.mlprogram.evaluator import Evaluator
from dmformer.runtimes.mlprogram.messages import Operation, Type
from dmformer.runtimes.mlprogram.operators import OPERATORS
from tests.coreml.programs import operation, package, run

Float = NDArray[np.float32]
values = st.floats(-8, 8, width=32)
quick = settings(max_examples=30, deadline=None)


def drawn(*shape: int, seed: int = 0) -> Float:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def tensors(least: int = 1, most: int = 4) -> st.SearchStrategy[Float]:
    return array_shapes(min_dims=least, max_dims=most, max_side=5).flatmap(
        lambda s: arrays(np.float32, s, elements=values)
    )


@quick
@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3),
    st.tuples(st.integers(1, 12), st.integers(1, 12)), st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)), st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(*[st.integers(0, 6)] * 4), st.booleans(),
)  # fmt: skip
def test_conv(
    count: int, groups: int, inner: int, outer: int, size: tuple[int, int], kernel: tuple[int, int],
    strides: tuple[int, int], dilations: tuple[int, int], pads: tuple[int, int, int, int], bias: bool,
) -> None:  # fmt: skip
    x, weight = drawn(count, groups * inner, *size), drawn(groups * outer, inner, *kernel, seed=1)
    given_bias = drawn(groups * outer, seed=2) if bias else None
    parameters: dict[str, Any] = {
        "strides": np.array(strides, np.int32),
        "dilations": np.array(dilations, np.int32),
        "groups": np.int32(groups),
    }
    parameters |= {"pad_type": "custom", "pad": np.array(pads, np.int32), **({"bias": given_bias} if bias else {})}
    padded = torch.nn.functional.pad(torch.from_numpy(x), (pads[2], pads[3], pads[0], pads[1]))
    reach = [dilation * (side - 1) + 1 for dilation, side in zip(dilations, kernel, strict=True)]
    if any(r > side for r, side in zip(reach, padded.shape[2:], strict=True)):
        with pytest.raises(ValueError, match="conv"):
            run("conv", x=x, weight=weight, **parameters)
        return
    expected = torch.nn.functional.conv2d(
        padded, torch.from_numpy(weight), None if given_bias is None else torch.from_numpy(given_bias),
        strides, 0, dilations, groups,
    )  # fmt: skip
    np.testing.assert_allclose(run("conv", x=x, weight=weight, **parameters), expected.numpy(), atol=1e-4)


@pytest.mark.parametrize(("kernel", "dilation", "pad"), [(3, 1, 1), (5, 2, 4), (7, 3, 9)])
def test_the_depthwise_levels_of_a_block(kernel: int, dilation: int, pad: int) -> None:
    x, weight = drawn(2, 6, 14, 9), drawn(6, 1, kernel, kernel, seed=1)
    expected = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(weight), None, 1, pad, dilation, 6)
    parameters = {"pad": np.full(4, pad), "dilations": np.full(2, dilation), "groups": np.int32(6)}
    level = run("conv", x=x, weight=weight, pad_type="custom", **parameters)
    np.testing.assert_allclose(level, expected.numpy(), atol=1e-4)


@quick
@given(
    st.sampled_from(["valid", "same", "same_lower"]), st.integers(1, 3),
    st.tuples(st.integers(1, 9), st.integers(1, 9)), st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
)  # fmt: skip
def test_kinds_of_padding(
    kind: str, groups: int, size: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int]
) -> None:
    """The size divided by the stride; where zeros are uneven, one more below and right, or above and left."""
    x, weight = drawn(2, 2 * groups, *size), drawn(groups, 2, *kernel, seed=1)
    parameters = {"strides": np.array(strides, np.int32), "groups": np.int32(groups), "pad_type": kind}
    if kind == "valid" and any(r > side for r, side in zip(kernel, size, strict=True)):
        with pytest.raises(ValueError, match="conv"):
            run("conv", x=x, weight=weight, **parameters)
        return
    total = [max(0, (-(-n // s) - 1) * s + r - n) for n, s, r in zip(size, strides, kernel, strict=True)]
    pairs = [(one // 2, one - one // 2) for one in ([0, 0] if kind == "valid" else total)]
    (top, bottom), (left, right) = [pair[::-1] if kind == "same_lower" else pair for pair in pairs]
    padded = torch.nn.functional.pad(torch.from_numpy(x), (left, right, top, bottom))
    expected = torch.nn.functional.conv2d(padded, torch.from_numpy(weight), None, strides, 0, 1, groups)
    np.testing.assert_allclose(run("conv", x=x, weight=weight, **parameters), expected.numpy(), atol=1e-4)


@pytest.mark.parametrize(
    "parameters",
    [
        {"groups": np.int32(2)},
        {"groups": np.int32(0)},
        {"strides": np.array([0, 1])},
        {"pad_type": "reflect"},
        {"pad_type": "same", "dilations": np.array([2, 2])},
        {"pad_type": "custom", "pad": np.array([1, 1])},
        {"pad_type": "custom", "pad": np.array([-1, 0, 0, 0])},
        {"pad_type": "custom", "pad": np.array([1 << 62] * 4)},
    ],
    ids=str,
)
def test_a_convolution_that_cannot_be(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"conv \(result\)"):
        run("conv", x=drawn(1, 3, 8, 8), weight=drawn(4, 3, 3, 3), **parameters)


def torch_of(function: Callable[..., torch.Tensor], **options: Any) -> Callable[..., Float]:
    """A function of PyTorch's on arrays."""
    return lambda *arrays: np.asarray(function(*map(torch.from_numpy, arrays), **options).numpy())


functional = torch.nn.functional
SQUARE, CODES = drawn(3, 3, seed=1), np.array([[-128, 0, 127]], np.int8)
MEAN, VARIANCE = drawn(3, 1, 1, seed=2), np.abs(drawn(3, 1, 1, seed=3))
CONSTANT = {"quantized_data": CODES, "scale": np.float32(0.5), "zero_point": np.int8(1)}
TWICE = {"scale_factor_height": np.float32(2), "scale_factor_width": np.float32(2)}
DEFINITIONS: list[tuple[str, dict[str, Any], Callable[[Float], Any]]] = [
    ("add", {"y": np.float32(0.5)}, lambda x: x + np.float32(0.5)),
    (
        "batch_norm",
        {"mean": MEAN.ravel(), "variance": VARIANCE.ravel()},
        lambda x: (x - MEAN) / np.sqrt(VARIANCE + np.float32(1e-5)),
    ),
    ("cast", {"dtype": "int32"}, np.trunc),
    ("cast", {"dtype": "fp32"}, lambda x: x),
    ("concat", {"values": ["x", "x"], "axis": np.int32(-1)}, lambda x: np.concatenate([x, x], -1)),
    ("constexpr_affine_dequantize", CONSTANT, lambda x: (CODES - np.float32(1)) / 2),
    ("conv", {"weight": SQUARE[..., None, None]}, lambda x: np.einsum("oi,nihw->nohw", SQUARE, x)),
    ("dequantize", {"input": CODES, "scale": np.float32(0.5)}, lambda x: CODES / np.float32(2)),
    ("gelu", {}, torch_of(functional.gelu)),
    ("gelu", {"mode": "EXACT"}, torch_of(functional.gelu)),
    ("gelu", {"mode": "TANH_APPROXIMATION"}, torch_of(functional.gelu, approximate="tanh")),
    ("gelu", {"mode": "SIGMOID_APPROXIMATION"}, lambda x: x / (1 + np.exp(-1.702 * x))),
    ("identity", {}, lambda x: x),
    ("linear", {"weight": SQUARE}, lambda x: x @ SQUARE.T),
    ("matmul", {"y": SQUARE}, lambda x: x @ SQUARE),
    ("matmul", {"y": SQUARE, "transpose_y": True}, lambda x: x @ SQUARE.T),
    ("mul", {"y": np.float32(1.5)}, lambda x: x * np.float32(1.5)),
    ("quantize", {"input": ["x"], "scale": np.float32(0.5), "output_dtype": "int8"}, lambda x: np.rint(x * 2)),
    ("reduce_argmax", {}, lambda x: x.argmax(-1)),
    ("reduce_argmax", {"axis": np.int32(1), "keep_dims": True}, lambda x: x.argmax(1, keepdims=True)),
    ("reduce_mean", {}, lambda x: x.mean()),
    ("relu", {}, lambda x: np.maximum(x, 0)),
    ("sigmoid", {}, torch_of(torch.sigmoid)),
    ("softmax", {}, torch_of(torch.softmax, dim=-1)),
    ("softmax", {"axis": np.int32(0)}, torch_of(torch.softmax, dim=0)),
    ("upsample_bilinear", TWICE, torch_of(functional.interpolate, scale_factor=2, mode="bilinear", align_corners=True)),
    ("upsample_nearest_neighbor", TWICE, torch_of(functional.interpolate, scale_factor=2, mode="nearest")),
]


@pytest.mark.parametrize(
    ("kind", "parameters", "definition"),
    DEFINITIONS,
    ids=[f"{kind}-{number}" for number, (kind, _, _) in enumerate(DEFINITIONS)],
)
def test_definitions(kind: str, parameters: dict[str, Any], definition: Callable[[Float], Any]) -> None:
    x = 3 * drawn(2, 3, 4, 3)
    np.testing.assert_allclose(run(kind, x=x, **parameters), definition(x), atol=1e-5)


def test_every_operator_has_a_definition() -> None:
    assert {kind for kind, _, _ in DEFINITIONS} | {"classify"} == OPERATORS.keys()


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("gelu", {"mode": "QUICK"}, r"gelu \(result\): the mode 'QUICK' is not known"),
        ("quantize", {"scale": np.float32(1), "output_dtype": "int4"}, "output_dtype 'int4' is not known"),
        ("concat", {"values": ["x"], "axis": np.int32(0), "interleave": True}, "interleaved values"),
        ("upsample_bilinear", {"scale_factor_height": np.float32(-1)}, "are not supported"),
        ("upsample_nearest_neighbor", {"scale_factor_width": np.float32(1.5)}, "are not supported"),
        ("matmul", {"y": np.eye(2, dtype=np.float32), "transpose_x": True}, "that is turned is not supported"),
        ("linear", {}, r"linear \(result\): its parameter 'weight' is missing"),
        ("softmax", {"axis": ["x"]}, "its parameter 'axis' is no constant"),
        ("relu", {"x": ["x", "x"]}, "2 values for its parameter 'x'"),
        ("relu", {"x": ["y"]}, "nothing gives its input 'y'"),
    ],
)
def test_what_cannot_be_translated(kind: str, parameters: dict[str, Any], message: str) -> None:
    parameters = {"x": ["x"], **parameters}
    with pytest.raises(ValueError, match=message):
        Evaluator(package([operation(kind, **parameters)], {"x": Type("float32", (2, 2))}))


@quick
@given(tensors(), st.data())
def test_reduce_mean(x: Float, data: st.DataObject) -> None:
    drawn_axes = data.draw(st.lists(st.integers(0, x.ndim - 1), min_size=1, unique=True))
    # Core ML counts from the end too.
    axes = [axis - x.ndim if data.draw(st.booleans()) else axis for axis in drawn_axes]
    for keep in (True, False):
        expected = torch.from_numpy(x).mean(axes, keepdim=keep).numpy()
        means = run("reduce_mean", x=x, axes=np.array(axes, np.int32), keep_dims=keep)
        np.testing.assert_allclose(means, expected, atol=1e-5)
    np.testing.assert_allclose(run("reduce_mean", x=x), x.mean(), atol=1e-5)


@quick
@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6), st.booleans())
def test_linear(count: int, inner: int, outer: int, bias: bool) -> None:
    x, weight = drawn(count, inner), drawn(outer, inner, seed=1)
    extra = {"bias": drawn(outer, seed=2)} if bias else {}
    expected = torch_of(functional.linear)(x, weight, *extra.values())
    np.testing.assert_allclose(run("linear", x=x, weight=weight, **extra), expected, atol=1e-5)


@quick
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4))
def test_batch_norm(count: int, channels: int, side: int) -> None:
    x, (mean, gamma, beta) = drawn(count, channels, side, side), drawn(3, channels, seed=1)
    variance = np.abs(drawn(channels, seed=2)) + np.float32(0.1)
    expected = torch_of(functional.batch_norm, training=False, eps=1e-3)(x, mean, variance, gamma, beta)
    normed = run("batch_norm", x=x, mean=mean, variance=variance, gamma=gamma, beta=beta, epsilon=np.float32(1e-3))
    np.testing.assert_allclose(normed, expected, atol=1e-4)
    bare = torch_of(functional.batch_norm, training=False, eps=1e-5)(x, mean, variance)
    np.testing.assert_allclose(run("batch_norm", x=x, mean=mean, variance=variance), bare, atol=1e-4)


@quick
@given(tensors(least=4))
def test_sums_and_products_broadcast(x: Float) -> None:
    y = drawn(x.shape[0], x.shape[1], 1, 1)
    np.testing.assert_allclose(run("add", x=x, y=y), x + y, atol=1e-5)
    np.testing.assert_allclose(run("mul", x=x, y=y), x * y, atol=1e-5)


@quick
@given(tensors(least=2, most=4), st.data())
def test_concat(x: Float, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    program = package(
        [operation("concat", values=["x", "input", "x"], axis=np.int32(axis))],
        {name: Type("float32", x.shape) for name in ("x", "input")},
    )
    joined = Evaluator(program).run({"x": x, "input": x + 1})["result"]
    assert np.array_equal(joined, np.concatenate([x, x + 1, x], axis))


@quick
@given(st.integers(1, 7), st.integers(1, 7), st.sampled_from([1.0, 1.5, 2.0, 3.0, 4.0]), st.booleans())
def test_upsample_bilinear(height: int, width: int, factor: float, aligned: bool) -> None:
    x = drawn(2, 3, height, width)
    scales = {"scale_factor_height": np.float32(factor), "scale_factor_width": np.float32(2)}
    resized = run("upsample_bilinear", x=x, align_corners=aligned, **scales)
    resize = torch_of(
        functional.interpolate, scale_factor=(factor, 2.0), mode="bilinear", align_corners=aligned,
        recompute_scale_factor=False,
    )  # fmt: skip
    np.testing.assert_allclose(resized, resize(x), atol=1e-5)


@quick
@given(tensors(least=2), st.floats(2**-6, 1, width=32), st.integers(-20, 20), st.booleans())
def test_quantize_and_dequantize(x: Float, scale: float, zero: int, signed: bool) -> None:
    name, zero = ("int8", zero) if signed else ("uint8", zero + 100)
    low, high = limits(name)
    affine = {"scale": np.float32(scale), "zero_point": np.array(zero, name)}
    codes = run("quantize", input=x, output_dtype=name, **affine)
    assert codes.dtype == name
    assert np.array_equal(codes, np.clip(np.rint(x / np.float32(scale)) + zero, low, high).astype(name))
    values = run("dequantize", input=codes, **affine)
    np.testing.assert_allclose(values, (codes.astype(np.float64) - zero) * scale, rtol=1e-6)


@quick
@given(tensors(least=2), st.data())
def test_quantize_along_an_axis(x: Float, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, x.ndim - 1))
    scale = np.abs(drawn(x.shape[axis])) + np.float32(2**-6)
    zero = np.arange(x.shape[axis]).astype(np.int8)
    affine = {"scale": scale, "zero_point": zero, "axis": np.int32(axis)}
    codes = run("quantize", input=x, output_dtype="int8", **affine)
    along = [-1 if one == axis else 1 for one in range(x.ndim)]
    scale, zero = scale.reshape(along), zero.reshape(along)
    assert np.array_equal(codes, np.clip(np.rint(x / scale) + zero, *limits("int8")))
    np.testing.assert_allclose(run("dequantize", input=codes, **affine), (codes - zero.astype(int)) * scale, rtol=1e-6)


def limits(name: str) -> tuple[int, int]:
    return np.iinfo(name).min, np.iinfo(name).max


@quick
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 1))
def test_weights_are_unpacked_per_channel(outer: int, inner: int, axis: int) -> None:
    codes = np.random.default_rng(0).integers(-127, 128, (outer, inner, 3, 3), dtype=np.int8)
    scales = np.abs(drawn((outer, inner)[axis])) + np.float32(0.01)
    shape = [1, 1, 1, 1]
    shape[axis] = -1
    parameters = {"scale": scales, "axis": np.int32(axis)}
    weight = run("constexpr_affine_dequantize", quantized_data=codes, zero_point=np.int8(3), **parameters)
    np.testing.assert_allclose(weight, (codes.astype(np.float32) - 3) * scales.reshape(shape), rtol=1e-6)
    np.testing.assert_allclose(run("dequantize", input=codes, **parameters), codes * scales.reshape(shape), rtol=1e-6)


def test_classify() -> None:
    results = (("label", "string"), ("shares", "dictionary"))
    probabilities = np.array([[0.2, 0.8]], np.float32)
    (label,), (shares,) = run("classify", results, probabilities=probabilities, classes=("cat", "dog"))
    assert (label, list(shares), list(shares.values())) == ("dog", ["cat", "dog"], probabilities[0].tolist())
    with pytest.raises(ValueError, match="classify"):
        run("classify", results, probabilities=probabilities, classes=("cat",))


def test_only_what_the_wanted_outputs_need_is_translated() -> None:
    operations = [operation("relu", x=["x"]), operation("gelu", (("other", "float32"),), x=["result"], mode="QUICK")]
    program = package(operations, {"x": Type("float32", (2,))}, ("result", "other"))
    x = np.array([-1, 2], np.float32)
    assert Evaluator(program, ["result"]).run({"x": x})["result"].tolist() == [0, 2]
    with pytest.raises(ValueError, match="'QUICK' is not known"):
        Evaluator(program)


def test_an_output_that_nothing_gives() -> None:
    for outputs in (["missing"], ["result", "missing"]):
        with pytest.raises(ValueError, match="missing"):
            Evaluator(package([operation("relu", x=["x"])], {"x": Type("float32", (2,))}, outputs))


def test_a_result_of_another_shape_or_dtype_than_the_program_says_is_refused() -> None:
    x = {"x": Type("float32", (2, 3))}
    for kind in (Type("float32", (2, 4)), Type("float32", (2, 3, 1)), Type("int8", (2, 3))):
        other = Operation("relu", {"x": ("x",)}, (("result", kind),))
        with pytest.raises(ValueError, match=r"relu \(result\)"):
            Evaluator(package([other], x))
