"""Every operator of the evaluator against PyTorch, on drawn shapes and attributes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from dmformer.runtimes.mlprogram.convolution import Geometry, padding
from dmformer.runtimes.mlprogram.erf import erf
from dmformer.runtimes.mlprogram.operators import OPERATORS

Float = NDArray[np.float32]
values = st.floats(-8, 8, width=32)
quick = settings(max_examples=60, deadline=None)


def run(kind: str, **parameters: Any) -> Any:
    (found,) = OPERATORS[kind](parameters)
    return found


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
        with pytest.raises(ValueError, match="larger than the padded input"):
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
    found = run("conv", x=x, weight=weight, pad_type="custom", pad=[pad] * 4, dilations=[dilation] * 2, groups=6)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_same_padding_gives_the_size_divided_by_the_stride(kernel: int, stride: int) -> None:
    bare = Geometry(strides=(stride, stride))
    for side in range(1, 9):
        x, weight = drawn(1, 1, side, side), drawn(1, 1, kernel, kernel, seed=1)
        shape = (1, 1, -(-side // stride), -(-side // stride))
        for kind in ("same", "same_lower"):
            assert run("conv", x=x, weight=weight, strides=[stride] * 2, pad_type=kind).shape == shape
        more = padding("same", (), (kernel, kernel), bare, (side, side))
        less = padding("same_lower", (), (kernel, kernel), bare, (side, side))
        assert more == (less[1], less[0], less[3], less[2]), "the odd row is below, or above"


# PyTorch says once in a process that it pads a copy, where its own `same` meets an even kernel.
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@quick
@given(
    st.sampled_from(["valid", "same", "same_lower"]), st.integers(1, 3),
    st.tuples(st.integers(1, 9), st.integers(1, 9)), st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)), st.tuples(st.integers(1, 3), st.integers(1, 3)),
)  # fmt: skip
def test_kinds_of_padding(
    kind: str, groups: int, size: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int],
    dilations: tuple[int, int],
) -> None:  # fmt: skip
    """PyTorch has `valid` and, where it strides by one, `same`; the others are its convolution of what was padded."""
    x, weight = drawn(2, 2 * groups, *size), drawn(groups, 2, *kernel, seed=1)
    parameters = {"strides": strides, "dilations": dilations, "groups": groups, "pad_type": kind}
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    if kind == "valid" and any(r > side for r, side in zip(reach, size, strict=True)):
        with pytest.raises(ValueError, match="larger than the padded input"):
            run("conv", x=x, weight=weight, **parameters)
        return
    given_x, given_weight = torch.from_numpy(x), torch.from_numpy(weight)
    total = [max(0, (-(-n // s) - 1) * s + r - n) for n, s, r in zip(size, strides, reach, strict=True)]
    pairs = [(one // 2, one - one // 2) for one in ([0, 0] if kind == "valid" else total)]
    (top, bottom), (left, right) = [pair[::-1] if kind == "same_lower" else pair for pair in pairs]
    padded = torch.nn.functional.pad(given_x, (left, right, top, bottom))
    expected = torch.nn.functional.conv2d(padded, given_weight, None, strides, 0, dilations, groups)
    if kind == "same" and strides == (1, 1):
        named = torch.nn.functional.conv2d(given_x, given_weight, None, 1, "same", dilations, groups)
        np.testing.assert_allclose(expected.numpy(), named.numpy(), atol=1e-4)
    np.testing.assert_allclose(run("conv", x=x, weight=weight, **parameters), expected.numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"groups": 2}, "do not fit"),
        ({"groups": 0}, "do not fit"),
        ({"strides": [0, 1]}, "at least 1"),
        ({"pad_type": "reflect"}, "'reflect' is not known"),
        ({"pad_type": "custom", "pad": [1, 1]}, "2 values, not 4"),
    ],
)
def test_a_convolution_that_cannot_be(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run("conv", x=drawn(1, 3, 8, 8), weight=drawn(4, 3, 3, 3), **parameters)


@quick
@given(tensors())
def test_functions_of_one_value(x: Float) -> None:
    given_x = torch.from_numpy(x)
    for kind, function in (("relu", torch.relu), ("sigmoid", torch.sigmoid), ("gelu", torch.nn.functional.gelu)):
        np.testing.assert_allclose(run(kind, x=x), function(given_x).numpy(), atol=2e-6)
    tanh = torch.nn.functional.gelu(given_x, approximate="tanh").numpy()
    np.testing.assert_allclose(run("gelu", x=x, mode="TANH_APPROXIMATION"), tanh, atol=2e-6)
    np.testing.assert_allclose(
        run("gelu", x=x, mode="SIGMOID_APPROXIMATION"), (given_x * torch.sigmoid(1.702 * given_x)).numpy(), atol=2e-6
    )
    np.testing.assert_allclose(run("softmax", x=x), torch.softmax(given_x, -1).numpy(), atol=2e-6)
    np.testing.assert_allclose(run("softmax", x=x, axis=0), torch.softmax(given_x, 0).numpy(), atol=2e-6)
    assert np.array_equal(run("identity", x=x), x)


def test_an_unknown_gelu() -> None:
    with pytest.raises(ValueError, match="'QUICK' is not known"):
        run("gelu", x=drawn(2), mode="QUICK")


def test_the_error_function_is_float32_s() -> None:
    x = np.linspace(-6, 6, 4001, dtype=np.float32)
    exact = np.array([math.erf(float(value)) for value in x])
    assert np.abs(erf(x) - exact).max() < 5e-7


@quick
@given(tensors(most=4), st.data())
def test_reduce_mean(x: Float, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, x.ndim - 1), min_size=1, unique=True))
    # Core ML counts from the end too.
    axes = [axis - x.ndim if data.draw(st.booleans()) else axis for axis in chosen]
    for keep in (True, False):
        expected = torch.from_numpy(x).mean(axes, keepdim=keep).numpy()
        np.testing.assert_allclose(
            run("reduce_mean", x=x, axes=np.array(axes, np.int32), keep_dims=keep), expected, atol=1e-5
        )
    np.testing.assert_allclose(run("reduce_mean", x=x), x.mean(), atol=1e-5)


@quick
@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6), st.booleans())
def test_linear(count: int, inner: int, outer: int, bias: bool) -> None:
    x, weight = drawn(count, inner), drawn(outer, inner, seed=1)
    extra = {"bias": drawn(outer, seed=2)} if bias else {}
    expected = torch.nn.functional.linear(
        torch.from_numpy(x), torch.from_numpy(weight), *map(torch.from_numpy, extra.values())
    )
    np.testing.assert_allclose(run("linear", x=x, weight=weight, **extra), expected.numpy(), atol=1e-5)


@quick
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4))
def test_batch_norm(count: int, channels: int, side: int) -> None:
    x, (mean, gamma, beta) = drawn(count, channels, side, side), drawn(3, channels, seed=1)
    variance = np.abs(drawn(channels, seed=2)) + np.float32(0.1)
    given_x, given_mean, given_variance, given_gamma, given_beta = map(
        torch.from_numpy, (x, mean, variance, gamma, beta)
    )
    normed = torch.nn.functional.batch_norm
    expected = normed(given_x, given_mean, given_variance, given_gamma, given_beta, training=False, eps=1e-3)
    found = run("batch_norm", x=x, mean=mean, variance=variance, gamma=gamma, beta=beta, epsilon=np.float32(1e-3))
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    bare = normed(given_x, given_mean, given_variance, training=False, eps=1e-5)
    np.testing.assert_allclose(run("batch_norm", x=x, mean=mean, variance=variance), bare.numpy(), atol=1e-4)


@quick
@given(tensors(least=4), st.booleans())
def test_sums_and_products_broadcast(x: Float, per_channel: bool) -> None:
    y = drawn(x.shape[0], x.shape[1], 1, 1) if per_channel else drawn()
    for kind, function in (("add", torch.add), ("mul", torch.mul)):
        expected = function(torch.from_numpy(x), torch.from_numpy(np.asarray(y)))
        np.testing.assert_allclose(run(kind, x=x, y=y), expected.numpy(), atol=1e-5)


@quick
@given(tensors(least=2), st.floats(2**-6, 1, width=32), st.integers(-20, 20), st.booleans())
def test_quantize_and_dequantize(x: Float, scale: float, zero: int, signed: bool) -> None:
    name, zero = ("int8", zero) if signed else ("uint8", zero + 100)
    low, high = limits(name)
    codes = run("quantize", input=x, scale=np.float32(scale), zero_point=np.array(zero, name), output_dtype=name)
    assert codes.dtype == name
    assert np.array_equal(codes, np.clip(np.rint(x / np.float32(scale)) + zero, low, high).astype(name))
    found = run("dequantize", input=codes, scale=np.float32(scale), zero_point=np.array(zero, name))
    np.testing.assert_allclose(found, (codes.astype(np.float64) - zero) * scale, rtol=1e-6)
    expected = torch.fake_quantize_per_tensor_affine(torch.from_numpy(x), scale, zero, low, high)
    # PyTorch multiplies by the reciprocal: a code may differ where the quotient lies between two.
    np.testing.assert_allclose(found, expected.numpy(), atol=1.001 * scale)


@quick
@given(tensors(least=2), st.data())
def test_quantize_along_an_axis(x: Float, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, x.ndim - 1))
    scale = np.abs(drawn(x.shape[axis])) + np.float32(2**-6)
    zero = np.arange(x.shape[axis]).astype(np.int8)
    codes = run("quantize", input=x, scale=scale, zero_point=zero, axis=np.int32(axis), output_dtype="int8")
    found = run("dequantize", input=codes, scale=scale, zero_point=zero, axis=np.int32(axis))
    expected = torch.fake_quantize_per_channel_affine(
        torch.from_numpy(x), torch.from_numpy(scale), torch.from_numpy(zero.astype(np.int32)), axis, *limits("int8")
    )
    # PyTorch multiplies by the reciprocal: a code may differ where the quotient lies between two.
    np.testing.assert_allclose(found, expected.numpy(), atol=1.001 * float(scale.max()))
    assert (np.abs(found - expected.numpy()) < 1e-5).mean() > 0.9 or x.size < 20


def limits(name: str) -> tuple[int, int]:
    return np.iinfo(name).min, np.iinfo(name).max


@quick
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 1))
def test_weights_are_unpacked_per_channel(outer: int, inner: int, axis: int) -> None:
    codes = np.random.default_rng(0).integers(-127, 128, (outer, inner, 3, 3), dtype=np.int8)
    scales = np.abs(drawn((outer, inner)[axis])) + np.float32(0.01)
    found = run(
        "constexpr_affine_dequantize", quantized_data=codes, scale=scales, zero_point=np.int8(3), axis=np.int32(axis)
    )
    shape = [1, 1, 1, 1]
    shape[axis] = -1
    np.testing.assert_allclose(found, (codes.astype(np.float32) - 3) * scales.reshape(shape), rtol=1e-6)
    per_axis = run("dequantize", input=codes, scale=scales, axis=np.int32(axis))
    np.testing.assert_allclose(per_axis, codes * scales.reshape(shape), rtol=1e-6)


def test_cast() -> None:
    x = np.array([-1.7, 0.2, 2.9], np.float32)
    assert run("cast", x=x, dtype="int32").tolist() == [-1, 0, 2]
    assert run("cast", x=x, dtype="fp16").dtype == np.float32, "the evaluator rounds it"
    assert run("cast", x=x.astype(np.float64), dtype="fp32").dtype == np.float32


def test_classify() -> None:
    label, shares = OPERATORS["classify"](
        {"probabilities": np.array([[0.2, 0.8]], np.float32), "classes": ("cat", "dog")}
    )
    assert (label, list(shares)) == ("dog", ["cat", "dog"])
    with pytest.raises(ValueError, match="1 classes for 2"):
        OPERATORS["classify"]({"probabilities": np.array([[0.2, 0.8]], np.float32), "classes": ("cat",)})
