"""The operators of ML Programs that appear in a DMFormer package, in ONNX: one small function each.

Source of the semantics: the MIL operator documentation of coremltools, opsets iOS 15 to iOS 18, and ONNX's operators,
opset 21. A function writes what an operation computes, in float32, and names the results; the evaluator rounds those
that the program declares as float16.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.runtimes.mlprogram.writer import Name, Operand, Writer, widened

NARROW = {"fp16": "float32", "fp32": "float32", "fp64": "float64"}
"""MIL's names of dtypes, where they are not NumPy's. Halves are float32 until they are rounded."""
PADDINGS = {"valid": {}, "same": {"auto_pad": "SAME_UPPER"}, "same_lower": {"auto_pad": "SAME_LOWER"}}
COORDINATES = {(False, True): "half_pixel", (True, False): "align_corners", (False, False): "asymmetric"}
"""ONNX's name of where samples lie, by MIL's ``align_corners`` and ``half_pixel_centers``."""
SIGMOID_FACTOR = np.array(1.702, np.float32)


@dataclass(frozen=True)
class Call:
    """One operation: what messages call it, what is bound to each parameter, and the graph that it is written into."""

    name: str
    operands: dict[str, tuple[Operand, ...]]
    writer: Writer

    def __getitem__(self, parameter: str) -> Operand:
        """The one value or constant that is bound to a parameter; KeyError where it is missing."""
        bound = self.operands[parameter]
        if len(bound) != 1:
            raise ValueError(f"{len(bound)} values for its parameter {parameter!r}")
        return bound[0]

    def emit(self, operator: str, *operands: Operand, **attributes: Any) -> Name:
        return self.writer.emit(operator, *operands, label=self.name, **attributes)

    def constant(self, parameter: str, default: Any = None) -> Any:
        """What a parameter that must be constant holds."""
        content = default if default is not None and parameter not in self.operands else self[parameter]
        if isinstance(content, Name):
            raise ValueError(f"its parameter {parameter!r} is no constant")  # noqa: TRY004 - of the file
        return content

    def integers(self, parameter: str, *default: int) -> list[int]:
        return [int(value) for value in np.ravel(self.constant(parameter, default or None))]

    def integer(self, parameter: str, default: int | None = None) -> int:
        return int(np.reshape(self.constant(parameter, default), ()))

    def array(self, parameter: str, default: Any = None) -> NDArray[Any]:
        return widened(np.asarray(self.constant(parameter, default)))


def same(operator: str, *parameters: str, **attributes: Any) -> Callable[[Call], Name]:
    """A translation of an operator that ONNX has too."""
    return lambda call: call.emit(operator, *(call[parameter] for parameter in parameters), **attributes)


def conv(call: Call) -> Name:
    """``x`` with ``weight`` and ``bias``; ``pad_type`` is ``valid``, ``custom``, ``same`` or ``same_lower``."""
    attributes: dict[str, Any] = {
        name: call.integers(name) for name in ("strides", "dilations") if name in call.operands
    }
    kind = call.constant("pad_type", "valid")
    if kind == "custom":
        pads = call.integers("pad")
        # MIL has the beginning and the end of each axis in turn.
        attributes["pads"] = pads[::2] + pads[1::2]
    elif kind not in PADDINGS or (kind != "valid" and max(attributes.get("dilations", [1])) > 1):
        raise ValueError(f"pad_type {kind!r} is not known, or not for a dilated kernel")
    else:
        attributes |= PADDINGS[kind]
    bias = [call["bias"]] if "bias" in call.operands else []
    return call.emit("Conv", call["x"], call["weight"], *bias, group=call.integer("groups", 1), **attributes)


def batch_norm(call: Call) -> Name:
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta`` along the channels."""
    mean, variance = call.array("mean"), call.array("variance")
    gamma, beta = call.array("gamma", np.ones_like(mean)), call.array("beta", np.zeros_like(mean))
    epsilon = float(call.array("epsilon", 1e-5))
    return call.emit("BatchNormalization", call["x"], gamma, beta, mean, variance, epsilon=epsilon)


def gelu(call: Call) -> Name:
    """Modes ``EXACT`` (the default), ``TANH_APPROXIMATION`` and ``SIGMOID_APPROXIMATION``."""
    mode = call.constant("mode", "EXACT")
    if mode == "SIGMOID_APPROXIMATION":
        return call.emit("Mul", call["x"], call.emit("Sigmoid", call.emit("Mul", call["x"], SIGMOID_FACTOR)))
    if mode not in ("EXACT", "TANH_APPROXIMATION"):
        raise ValueError(f"the mode {mode!r} is not known")
    return call.emit("Gelu", call["x"], approximate="none" if mode == "EXACT" else "tanh")


def softmax(call: Call) -> Name:
    """Exponentials over their sum along ``axis``, -1 by default."""
    return call.emit("Softmax", call["x"], axis=call.integer("axis", -1))


def reduce_mean(call: Call) -> Name:
    """The mean over ``axes`` (all of them by default)."""
    axes = [np.array(call.integers("axes"), np.int64)] if "axes" in call.operands else []
    return call.emit("ReduceMean", call["x"], *axes, keepdims=call.integer("keep_dims", 0))


def reduce_argmax(call: Call) -> Name:
    """The index of the largest value along ``axis``, the first where there are several."""
    indices = call.emit("ArgMax", call["x"], axis=call.integer("axis", -1), keepdims=call.integer("keep_dims", 0))
    return call.writer.cast(indices, call.constant("output_dtype", "int32"))


def linear(call: Call) -> Name:
    """``x @ weight.T + bias``; the weight is ``[out, in]``."""
    product = call.emit("MatMul", call["x"], call.emit("Transpose", call["weight"], perm=[1, 0]))
    return call.emit("Add", product, call["bias"]) if "bias" in call.operands else product


def matmul(call: Call) -> Name:
    """The product of the last two axes; a constant factor may be turned."""
    factors = []
    for parameter in ("x", "y"):
        factor = call[parameter]
        if call.integer(f"transpose_{parameter}", 0):
            if isinstance(factor, Name):
                raise ValueError("a computed factor that is turned is not supported")
            factor = np.ascontiguousarray(np.swapaxes(factor, -1, -2))
        factors.append(factor)
    return call.emit("MatMul", *factors)


def cast(call: Call) -> Name:
    """To another dtype; to integers towards zero."""
    dtype = call.constant("dtype")
    return call.writer.cast(call["x"], NARROW.get(dtype, dtype))


def quantize(call: Call) -> Name:
    """``clip(round(input / scale) + zero_point)`` to ``output_dtype``, int8 or uint8; halves round to even."""
    dtype = call.constant("output_dtype")
    if dtype not in ("int8", "uint8"):
        raise ValueError(f"output_dtype {dtype!r} is not known")
    zero = call.array("zero_point", 0).astype(dtype)
    return call.emit("QuantizeLinear", call["input"], *_affine(call, zero), axis=call.integer("axis", 0))


def dequantize(call: Call) -> Name:
    """``scale * (input - zero_point)``."""
    zero = [call.array("zero_point")] if "zero_point" in call.operands else []
    return call.emit("DequantizeLinear", call["input"], *_affine(call, *zero), axis=call.integer("axis", 0))


def constexpr_affine_dequantize(call: Call) -> Name:
    """A weight from its codes: ``scale * (quantized_data - zero_point)``, scalars or vectors along ``axis``."""
    return dequantize(replace(call, operands={**call.operands, "input": (call["quantized_data"],)}))


def _affine(call: Call, *zero: NDArray[Any]) -> list[NDArray[Any]]:
    """Scale and zero point, both scalars or both vectors."""
    arrays = np.broadcast_arrays(call.array("scale").astype(np.float32), *zero)
    return [array.reshape(()) if array.size == 1 else np.ascontiguousarray(array) for array in arrays]


def concat(call: Call) -> Name:
    """``values`` one after the other along ``axis``."""
    if call.integer("interleave", 0):
        raise ValueError("interleaved values are not supported")
    return call.emit("Concat", *call.operands["values"], axis=call.integer("axis"))


def upsample_bilinear(call: Call) -> Name:
    """Height and width times ``scale_factor_height`` and ``scale_factor_width``, rounded down."""
    aligned = bool(call.integer("align_corners", 1))
    centred = bool(call.integer("half_pixel_centers", not aligned))
    factors = [float(call.array(f"scale_factor_{side}", 1)) for side in ("height", "width")]
    if (aligned, centred) not in COORDINATES or min(factors) <= 0:
        raise ValueError(f"align_corners with half_pixel_centers, or factors of {factors}, are not supported")
    return call.emit(
        "Resize", call["x"], np.zeros(0, np.float32), np.array([1, 1, *factors], np.float32),
        mode="linear", coordinate_transformation_mode=COORDINATES[aligned, centred],
    )  # fmt: skip


def upsample_nearest_neighbor(call: Call) -> Name:
    """Height and width times ``scale_factor_height`` and ``scale_factor_width``; each value is repeated."""
    factors = [float(call.array(f"scale_factor_{side}", 1)) for side in ("height", "width")]
    if min(factors) < 1 or any(factor % 1 for factor in factors):
        raise ValueError(f"factors of {factors} are not supported")
    return call.emit(
        "Resize", call["x"], np.zeros(0, np.float32), np.array([1, 1, *factors], np.float32),
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip


def classify(call: Call) -> tuple[Name, Name]:
    """The most likely class, and the probabilities of all; labels are given as text."""
    classes, probabilities = call.constant("classes"), call["probabilities"]
    best = call.emit("ArgMax", probabilities, axis=-1, keepdims=0)
    shares = call.emit("ZipMap", probabilities, domain="ai.onnx.ml", classlabels_strings=list(classes))
    return call.emit("Gather", classes, best), shares


OPERATORS: dict[str, Callable[[Call], Name | tuple[Name, ...]]] = {
    "add": same("Add", "x", "y"),
    "batch_norm": batch_norm,
    "cast": cast,
    "classify": classify,
    "concat": concat,
    "constexpr_affine_dequantize": constexpr_affine_dequantize,
    "conv": conv,
    "dequantize": dequantize,
    "gelu": gelu,
    "identity": same("Identity", "x"),
    "linear": linear,
    "matmul": matmul,
    "mul": same("Mul", "x", "y"),
    "quantize": quantize,
    "reduce_argmax": reduce_argmax,
    "reduce_mean": reduce_mean,
    "relu": same("Relu", "x"),
    "sigmoid": same("Sigmoid", "x"),
    "softmax": softmax,
    "upsample_bilinear": upsample_bilinear,
    "upsample_nearest_neighbor": upsample_nearest_neighbor,
}
"""By the name in a program; ``const`` is not among them, its value is known when a package is opened."""
