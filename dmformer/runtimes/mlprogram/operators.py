"""The operators of ML Programs that appear in a DMFormer package: one small function each, in NumPy.

Source of the semantics: the MIL operator documentation of coremltools, opsets iOS 15 to iOS 18. A function takes the
operation's parameters by name (`Parameters`) and gives its outputs. Arithmetic is done in float32; the evaluator
rounds to float16 after each operator whose output is float16.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.runtimes.mlprogram.convolution import Geometry, conv2d, padding
from dmformer.runtimes.mlprogram.erf import erf

Float = NDArray[np.float32]
Parameters = dict[str, Any]
Operator = Callable[[Parameters], tuple[Any, ...]]

NARROW = {"fp16": "float16", "fp32": "float32", "fp64": "float64", "bool": "bool"}
"""MIL's names of dtypes, where they are not NumPy's."""
SQRT_HALF = np.float32(0.7071067811865476)
TANH_FACTOR, TANH_CUBE = np.float32(0.7978845608028654), np.float32(0.044715)


def conv(p: Parameters) -> tuple[Any, ...]:
    """See `dmformer.runtimes.mlprogram.convolution.conv2d`; only the two-dimensional one."""
    x, weight = p["x"], p["weight"]
    if x.ndim != 4 or weight.ndim != 4:
        raise ValueError(f"conv: only two-dimensional convolutions are supported, not {x.ndim - 2}-dimensional ones")
    bare = Geometry(
        strides=_pair(p.get("strides"), 1),
        dilations=_pair(p.get("dilations"), 1),
        groups=int(p.get("groups", 1)),
    )
    pads = tuple(int(value) for value in np.ravel(p.get("pad", ())))
    found = padding(str(p.get("pad_type", "valid")), pads, weight.shape[2:], bare, x.shape[2:])
    return (conv2d(x, weight, p.get("bias"), Geometry(bare.strides, found, bare.dilations, bare.groups)),)


def _pair(values: Any, default: int) -> tuple[int, int]:
    if values is None:
        return default, default
    first, second = (int(value) for value in np.ravel(values))
    if first < 1 or second < 1:
        raise ValueError(f"conv: strides and dilations are at least 1, not {first} and {second}")
    return first, second


def batch_norm(p: Parameters) -> tuple[Any, ...]:
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta`` along the channels."""
    x = p["x"]
    shape = (1, -1, *[1] * (x.ndim - 2))
    scale = p.get("gamma", np.float32(1)) / np.sqrt(p["variance"] + np.float32(p.get("epsilon", 1e-5)))
    shift = p.get("beta", np.float32(0)) - p["mean"] * scale
    return (x * np.reshape(scale, shape) + np.reshape(shift, shape),)


def add(p: Parameters) -> tuple[Any, ...]:
    """``x + y`` with broadcasting."""
    return (p["x"] + p["y"],)


def mul(p: Parameters) -> tuple[Any, ...]:
    """``x * y`` with broadcasting."""
    return (p["x"] * p["y"],)


def relu(p: Parameters) -> tuple[Any, ...]:
    """``max(x, 0)``."""
    return (np.maximum(p["x"], np.float32(0)),)


def sigmoid(p: Parameters) -> tuple[Any, ...]:
    """``1 / (1 + exp(-x))``, which is 0 and 1 at the ends without an overflow."""
    return (np.float32(0.5) * (np.tanh(np.float32(0.5) * p["x"]) + np.float32(1)),)


def gelu(p: Parameters) -> tuple[Any, ...]:
    """Modes ``EXACT`` (the default), ``TANH_APPROXIMATION`` and ``SIGMOID_APPROXIMATION``."""
    x, mode = p["x"], str(p.get("mode", "EXACT"))
    if mode == "EXACT":
        return (np.float32(0.5) * x * (np.float32(1) + erf(x * SQRT_HALF)),)
    if mode == "TANH_APPROXIMATION":
        return (np.float32(0.5) * x * (np.float32(1) + np.tanh(TANH_FACTOR * (x + TANH_CUBE * x * x * x))),)
    if mode == "SIGMOID_APPROXIMATION":
        return (x * sigmoid({"x": np.float32(1.702) * x})[0],)
    raise ValueError(f"gelu: the mode {mode!r} is not known")


def softmax(p: Parameters) -> tuple[Any, ...]:
    """Exponentials over their sum along ``axis``, -1 by default."""
    axis = int(p.get("axis", -1))
    powers = np.exp(p["x"] - p["x"].max(axis, keepdims=True))
    return (powers / powers.sum(axis, keepdims=True),)


def reduce_mean(p: Parameters) -> tuple[Any, ...]:
    """The mean over ``axes`` (all of them by default)."""
    axes = p.get("axes")
    chosen = None if axes is None else tuple(int(axis) for axis in np.ravel(axes))
    return (np.mean(p["x"], axis=chosen, keepdims=bool(p.get("keep_dims", False)), dtype=np.float32),)


def linear(p: Parameters) -> tuple[Any, ...]:
    """``x @ weight.T + bias``; the weight is ``[out, in]``."""
    found = p["x"] @ p["weight"].T
    return (found + p["bias"] if "bias" in p else found,)


def cast(p: Parameters) -> tuple[Any, ...]:
    """To another dtype; to integers towards zero. Halves stay in float32 arrays: the evaluator rounds them."""
    name = str(p["dtype"])
    target = NARROW.get(name, name)
    return (np.asarray(p["x"]).astype("float32" if target == "float16" else target),)


def quantize(p: Parameters) -> tuple[Any, ...]:
    """``clip(round(input / scale) + zero_point)`` to ``output_dtype``, int8 or uint8; halves round to even."""
    name = str(p["output_dtype"])
    if name not in ("int8", "uint8"):
        raise ValueError(f"quantize: output_dtype {name!r} is not known")
    x, limits = p["input"], np.iinfo(name)
    scale, zero = _along(p["scale"], x, p), _along(p.get("zero_point", np.float32(0)), x, p)
    return (np.clip(np.rint(x / scale) + zero, limits.min, limits.max).astype(name),)


def dequantize(p: Parameters) -> tuple[Any, ...]:
    """``scale * (input - zero_point)``."""
    x = p["input"]
    zero = _along(p.get("zero_point", np.float32(0)), x, p)
    return (_along(p["scale"], x, p) * (x.astype(np.float32) - zero),)


def constexpr_affine_dequantize(p: Parameters) -> tuple[Any, ...]:
    """A weight from its codes: ``scale * (quantized_data - zero_point)``, scalars or vectors along ``axis``."""
    codes = p["quantized_data"]
    return (_along(p["scale"], codes, p) * (codes.astype(np.float32) - _along(p["zero_point"], codes, p)),)


def _along(values: Any, x: NDArray[np.generic], p: Parameters) -> Float:
    """A scale or zero point in a shape that broadcasts over ``x``."""
    array = np.asarray(values).astype(np.float32)
    if array.size == 1:
        return array.reshape(())
    axis = int(p["axis"])
    shape = [1] * x.ndim
    shape[axis] = -1
    return array.reshape(shape)


def classify(p: Parameters) -> tuple[Any, ...]:
    """The most likely class of one image, and the probabilities of all; labels are given as text."""
    classes, probabilities = p["classes"], np.ravel(p["probabilities"])
    if len(classes) != len(probabilities):
        raise ValueError(f"classify: {len(classes)} classes for {len(probabilities)} probabilities")
    return classes[int(np.argmax(probabilities))], dict(zip(classes, probabilities.tolist(), strict=True))


def identity(p: Parameters) -> tuple[Any, ...]:
    """Its input."""
    return (p["x"],)


OPERATORS: dict[str, Operator] = {
    "add": add,
    "batch_norm": batch_norm,
    "cast": cast,
    "classify": classify,
    "constexpr_affine_dequantize": constexpr_affine_dequantize,
    "conv": conv,
    "dequantize": dequantize,
    "gelu": gelu,
    "identity": identity,
    "linear": linear,
    "mul": mul,
    "quantize": quantize,
    "reduce_mean": reduce_mean,
    "relu": relu,
    "sigmoid": sigmoid,
    "softmax": softmax,
}
"""By the name in a program; ``const`` is not among them, its value is known when a package is opened."""
