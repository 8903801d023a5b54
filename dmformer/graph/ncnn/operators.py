"""One function for each ONNX operator that is converted: it appends ncnn's layers for a node."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray

from dmformer.errors import ExportError
from dmformer.graph.ncnn.layers import (
    ADD,
    AVERAGE,
    BILINEAR,
    CEIL,
    FLOOR,
    MAXIMUM,
    MULTIPLY,
    NEAREST,
    REVERSE_SUBTRACT,
    SUBTRACT,
    SWAP_SIDES,
)
from dmformer.graph.ncnn.network import Parameter
from dmformer.graph.ncnn.weights import Array
from dmformer.graph.ncnn.writer import Writer, integers
from dmformer.graph.qdq.graph import attribute

MODES = {
    (b"nearest", b"asymmetric"): NEAREST,
    (b"linear", b"half_pixel"): BILINEAR,
    (b"linear", b"pytorch_half_pixel"): BILINEAR,
}
Convert = Callable[[Writer, onnx.NodeProto], None]


def refused(node: onnx.NodeProto, why: str) -> ExportError:
    """What is raised for a node that is not of a form that is converted."""
    return ExportError(f"ncnn: the operator {node.op_type} ({node.name}) {why}", "please report this")


def convolution(writer: Writer, node: onnx.NodeProto) -> None:
    """Of one group, or of several."""
    group = int(attribute(node, "group", 1))
    kernel = integers(node, "kernel_shape", [])
    (down, across), (high, wide) = integers(node, "strides", [1, 1]), integers(node, "dilations", [1, 1])
    top, left, bottom, right = integers(node, "pads", [0, 0, 0, 0])
    parameters: dict[int, Parameter] = {
        **{1: kernel[1], 11: kernel[0], 2: wide, 12: high, 3: across, 13: down},
        **{4: left, 14: top, 15: right, 16: bottom},
    }
    if group > 1:
        parameters[7] = group
    with_weights(writer, node, "ConvolutionDepthWise" if group > 1 else "Convolution", parameters, bias=5, size=6)


def product(writer: Writer, node: onnx.NodeProto) -> None:
    """A linear layer, which reads a blob of any shape as a row."""
    if not attribute(node, "transB", 0) or attribute(node, "transA", 0):
        raise refused(node, "has its weight the other way round")
    with_weights(writer, node, "InnerProduct", {}, bias=1, size=2)


def with_weights(
    writer: Writer, node: onnx.NodeProto, kind: str, parameters: dict[int, Parameter], bias: int, size: int
) -> None:
    """Appends a layer with weights, with the activation behind it; integers where its input and weight are."""
    data, quantized = writer.dequantized(node.input[0]), writer.dequantized(node.input[1])
    value, arrays = node.input[0], [np.asarray(writer.constant(quantized[0] if quantized else node.input[1]))]
    parameters |= {0: len(arrays[0]), size: arrays[0].size}
    if len(node.input) > 2:
        parameters[bias] = 1
        arrays.append(writer.floats(node.input[2]))
    if (data is None) != (quantized is None):
        raise refused(node, "is in integers only by half")
    if data and quantized:
        value, parameters[8] = data[0], 1
        # ncnn multiplies by its scales where ONNX divides.
        arrays += [1 / quantized[1], 1 / data[1].reshape(1)]
    output, activation = writer.take_activation(node.output[0])
    if activation:
        parameters[9] = activation
    writer.add(kind, node.name, (value,), output, parameters, *arrays)


def plain(kind: str, **parameters: Parameter) -> Convert:
    """A layer with fixed parameters that reads what its node reads."""
    numbered = {int(number[1:]): value for number, value in parameters.items()}

    def convert(writer: Writer, node: onnx.NodeProto) -> None:
        writer.add(kind, node.name, tuple(node.input), node.output[0], dict(numbered))

    return convert


def alias(writer: Writer, node: onnx.NodeProto) -> None:
    """Nothing is computed: blobs have no types, and a constant is read as it is stored."""
    if not writer.is_constant(node.input[0]):
        writer.alias(node.output[0], node.input[0])


def nothing(writer: Writer, node: onnx.NodeProto) -> None:
    """The layers that read it look at what is before it, or at the shapes of the graph."""


def reshaped(writer: Writer, node: onnx.NodeProto) -> None:
    """To the shape that the graph's shapes say."""
    shape = writer.shape(node.output[0])
    writer.add("Reshape", node.name, (node.input[0],), node.output[0], dict(enumerate(reversed(shape))))


def pooled(writer: Writer, node: onnx.NodeProto) -> None:
    """The mean of each channel, with two sides of one where it goes with a map."""
    channels, taken = writer.shape(node.input[0])[0], writer.shape(node.output[0])
    if taken not in ((channels,), (channels, 1, 1)):
        raise refused(node, "is no mean of whole channels")
    flat = node.output[0] if len(taken) == 1 else f"{node.output[0]}/flat"
    writer.add("Pooling", node.name, (node.input[0],), flat, {0: AVERAGE, 4: 1})
    if len(taken) > 1:
        writer.add("Reshape", f"{node.name}/sides", (flat,), node.output[0], {0: 1, 1: 1, 2: channels})


def resized(writer: Writer, node: onnx.NodeProto) -> None:
    """To the size that the graph's shapes say."""
    way = (attribute(node, "mode", b"nearest"), attribute(node, "coordinate_transformation_mode", b"half_pixel"))
    if way not in MODES:
        raise refused(node, f"resizes in a way that ncnn does not: {way}")
    mode, (_, height, width) = MODES[way], writer.shape(node.output[0])
    value, sides = node.input[0], writer.shape(node.input[0])[1:]
    if mode == BILINEAR and 1 in sides:
        # Between one value and none there is nothing to interpolate, and ncnn would read beyond the row.
        grown = [want if side == 1 else side for side, want in zip(sides, (height, width), strict=True)]
        value = f"{node.output[0]}/grown"
        writer.add("Interp", f"{node.name}/grown", (node.input[0],), value, {0: NEAREST, 3: grown[0], 4: grown[1]})
    writer.add("Interp", node.name, (value,), node.output[0], {0: mode, 3: height, 4: width})


def joined(writer: Writer, node: onnx.NodeProto) -> None:
    """Maps behind each other; what a batch's open size makes of shapes is known here."""
    if not writer.graph.is_float(node.output[0]):
        return
    if attribute(node, "axis", 1) != 1:
        raise refused(node, "joins something else than channels")
    writer.add("Concat", node.name, tuple(node.input), node.output[0], {})


def matrix(writer: Writer, node: onnx.NodeProto) -> None:
    """A product of a map and a constant matrix, on either side, as a layer that multiplies all rows by its weight."""
    right = writer.is_constant(node.input[1])
    (value, weight) = tuple(node.input) if right else tuple(node.input)[::-1]
    if not writer.is_constant(weight) or len(writer.shape(value)) != 3:
        raise refused(node, "does not multiply a map by a constant")
    factor = writer.constant(weight)
    channels, height, width = writer.shape(value) if right else _swapped(writer, node, value)
    rows, taken = f"{node.output[0]}/rows", value if right else f"{node.output[0]}/turned"
    writer.add("Reshape", f"{node.name}/rows", (taken,), rows, {0: width, 1: channels * height})
    array: Array = np.ascontiguousarray(factor.T if right else factor)
    outputs, product = len(array), f"{node.output[0]}/product"
    writer.add("InnerProduct", node.name, (rows,), product, {0: outputs, 2: array.size}, array)
    back = node.output[0] if right else f"{node.output[0]}/back"
    writer.add("Reshape", f"{node.name}/map", (product,), back, {0: outputs, 1: height, 2: channels})
    if not right:
        writer.add("Permute", f"{node.name}/back", (back,), node.output[0], {0: SWAP_SIDES})


def _swapped(writer: Writer, node: onnx.NodeProto, value: str) -> tuple[int, ...]:
    writer.add("Permute", f"{node.name}/turned", (value,), f"{node.output[0]}/turned", {0: SWAP_SIDES})
    channels, height, width = writer.shape(value)
    return channels, width, height


def first_of_largest(writer: Writer, node: onnx.NodeProto) -> None:
    """Arg max over channels, which ncnn has not got: the first plane that equals the largest.

    A plane's difference to the largest becomes 0 or -1, and of the planes with 0 the number is told by how many follow.
    Exact also in float16, up to 2048 planes.
    """
    name, value, planes = node.name, node.input[0], writer.shape(node.input[0])[0]
    if attribute(node, "axis", 0) != 1:
        raise refused(node, "looks along another axis than channels")
    behind = np.arange(planes, 0, -1, dtype=np.float32)
    chain: list[tuple[str, tuple[str, ...], dict[int, Parameter], tuple[NDArray[np.float32], ...]]] = [
        ("Reduction", (value,), {0: MAXIMUM, 1: 0, 3: (0,), 4: 1, 5: 1}, ()),
        ("BinaryOp", (value, f"{name}/0"), {0: SUBTRACT}, ()),
        ("Clip", (f"{name}/1",), {0: -1.0, 1: 0.0}, ()),
        ("UnaryOp", (f"{name}/2",), {0: FLOOR}, ()),
        ("Scale", (f"{name}/3",), {0: planes, 1: 1}, (behind, behind)),
        ("Reduction", (f"{name}/4",), {0: MAXIMUM, 1: 0, 3: (0,), 4: 1, 5: 1}, ()),
        ("BinaryOp", (f"{name}/5",), {0: REVERSE_SUBTRACT, 1: 1, 2: float(planes)}, ()),
        ("Reshape", (f"{name}/6",), dict(enumerate(reversed(writer.shape(value)[1:]))), ()),
    ]
    for number, (kind, values, parameters, arrays) in enumerate(chain):
        last = number == len(chain) - 1
        writer.add(
            kind, f"{name}/{number}", values, node.output[0] if last else f"{name}/{number}", parameters, *arrays
        )


def above(writer: Writer, node: onnx.NodeProto) -> None:
    """1 where a value is above a constant, else 0."""
    name, limit = node.name, float(writer.floats(node.input[1]))
    writer.add("BinaryOp", f"{name}/0", (node.input[0],), f"{name}/0", {0: SUBTRACT, 1: 1, 2: limit})
    writer.add("Clip", f"{name}/1", (f"{name}/0",), f"{name}/1", {0: 0.0, 1: 1.0})
    writer.add("UnaryOp", name, (f"{name}/1",), node.output[0], {0: CEIL})


OPERATORS: dict[str, Convert] = {
    "Conv": convolution,
    "Gemm": product,
    "MatMul": matrix,
    "Relu": plain("ReLU"),
    "Sigmoid": plain("Sigmoid"),
    "Gelu": plain("GELU"),
    "Add": plain("BinaryOp", p0=ADD),
    "Mul": plain("BinaryOp", p0=MULTIPLY),
    "GlobalAveragePool": pooled,
    "ReduceMean": pooled,
    "Resize": resized,
    "Concat": joined,
    "ArgMax": first_of_largest,
    "Greater": above,
    "Squeeze": reshaped,
    "Shape": nothing,
    "Cast": alias,
    "QuantizeLinear": nothing,
    "DequantizeLinear": nothing,
}
"""By ONNX's name. A residual sum or a gate's product reads two blobs, which `Graph` gives in their order."""
