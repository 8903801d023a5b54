"""Writing quantizers into a graph: activations, weights and biases. Where they go is each runtime's business."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from dmformer.errors import ExportError
from dmformer.graph.qdq.affine import Affine, Range, affine, channel_scales, quantize_weight
from dmformer.graph.qdq.graph import Graph, attribute
from dmformer.graph.qdq.scheme import Scheme

INT32_LIMIT = 2.0**31 - 1
BIAS_HEADROOM = 4.0
"""How far inside int32 a bias stays: the products are added on top of it."""


class Quantizers:
    """Inserts QuantizeLinear/DequantizeLinear into one graph.

    Args:
        graph: The graph that is rewritten.
        ranges: Range of each site by its value's name.
        scheme: Integer types.
    """

    def __init__(self, graph: Graph, ranges: Mapping[str, Range], scheme: Scheme) -> None:
        self.graph = graph
        self.scheme = scheme
        self._ranges = ranges
        self._added: list[onnx.NodeProto] = []

    def affine_of(self, value: str) -> Affine:
        """Scale and zero point of a value.

        Raises:
            ExportError: The ranges do not know the value.
        """
        if value not in self._ranges:
            raise ExportError(f"no activation range for {value}", "calibrate this model again")
        return affine(self._ranges[value], self.scheme.activation)

    def activation(self, value: str, readers: Collection[tuple[str, str]]) -> None:
        """Puts a pair behind ``value`` and lets the given (node, input value) readers read it.

        Args:
            value: The value to quantize.
            readers: Names of the nodes that are to read the quantized value.
        """
        code = self.affine_of(value)
        scale = self.graph.set_array(f"{value}/scale", np.float32(code.scale))
        zero = self.graph.set_array(f"{value}/zero_point", code.kind.dtype(code.zero_point))
        codes, real = f"{value}/quantized", f"{value}/dequantized"
        self._pair(value, codes, real, [scale, zero])
        for name, read in readers:
            node = self.graph.by_name[name]
            node.input[:] = [real if entry == read else entry for entry in node.input]

    def _pair(self, value: str, codes: str, real: str, parameters: list[str]) -> None:
        self._added.append(helper.make_node("QuantizeLinear", [value, *parameters], [codes], name=f"{value}/quantize"))
        self._added.append(
            helper.make_node("DequantizeLinear", [codes, *parameters], [real], name=f"{value}/dequantize")
        )

    def weight(self, node: onnx.NodeProto, data_scale: float | None) -> None:
        """Stores a layer's weight as int8 with one scale per output channel.

        Args:
            node: A Conv (weight ``[out, in, kh, kw]``) or a Gemm with ``transB`` (``[out, in]``).
            data_scale: Scale of the layer's input. When given, the bias is stored as int32 in units of
                input scale times weight scale, and scales for which it would overflow are raised.
        """
        name = node.input[1]
        weight = self.graph.array(name).astype(np.float32)
        rows, axis = _by_output(node, weight)
        scales = channel_scales(rows, self.scheme.weight_reach)
        bias = self.graph.array(node.input[2]) if len(node.input) > 2 else None
        if data_scale is not None and bias is not None:
            scales = guard_bias(scales, bias, data_scale)
        codes = quantize_weight(rows, scales, self.scheme.weight_reach)
        node.input[1] = self._constant(name, codes if axis == 0 else codes.T, scales, axis)
        if data_scale is not None and bias is not None:
            node.input[2] = self._bias(node.input[2], bias, scales * np.float32(data_scale))

    def _bias(self, name: str, bias: NDArray[np.float32], scales: NDArray[np.float32]) -> str:
        codes = np.clip(np.rint(bias / scales.astype(np.float64)), -INT32_LIMIT, INT32_LIMIT)
        return self._constant(name, codes.astype(np.int32), scales, 0)

    def _constant(self, name: str, codes: NDArray[np.generic], scales: NDArray[np.float32], axis: int) -> str:
        """A dequantized constant; it keeps its zero points explicit because ONNX Runtime's fusions ask for them."""
        real = f"{name}/dequantized"
        inputs = [
            self.graph.set_array(f"{name}/quantized", codes),
            self.graph.set_array(f"{name}/scale", scales),
            self.graph.set_array(f"{name}/zero_point", np.zeros(scales.shape, codes.dtype)),
        ]
        if real not in (output for node in self._added for output in node.output):
            self._added.append(
                helper.make_node("DequantizeLinear", inputs, [real], name=f"{name}/dequantize", axis=axis)
            )
        return real

    def finish(self) -> onnx.ModelProto:
        """The rewritten model."""
        return self.graph.model(self._added)


def _by_output(node: onnx.NodeProto, weight: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """The weight with the output channels first, and the axis on which they are in the graph."""
    if node.op_type != "Gemm":
        return weight, 0
    return (weight, 0) if attribute(node, "transB", 0) else (weight.T, 1)


def guard_bias(scales: NDArray[np.float32], bias: NDArray[np.float32], data_scale: float) -> NDArray[np.float32]:
    """Raises the weight scales whose int32 bias would overflow (onnxruntime issue 11415).

    Args:
        scales: Weight scales per output channel, float32 ``[out]``.
        bias: float32 ``[out]``.
        data_scale: Scale of the layer's input.

    Returns:
        Scales for which ``|bias / (scale * data_scale)|`` stays a factor of four inside int32.
    """
    smallest = np.abs(bias).astype(np.float64) * BIAS_HEADROOM / (INT32_LIMIT * data_scale)
    return np.maximum(scales, smallest).astype(np.float32)
