"""Q/DQ as TensorRT's explicit quantization asks for it (also for strongly typed networks, 10.x and 11.x).

Everything is symmetric int8 with zero point 0, weights per output channel, biases in float. TensorRT moves
and fuses the pairs itself, so only inputs of integer layers get one. In a residual addition only the skip
input gets one: the other comes out of a layer that the addition is fused into ("Working with Quantized
Types" in NVIDIA's developer guide, section on Q/DQ placement).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx

from dmformer.graph.qdq.affine import S8_SYMMETRIC, Range
from dmformer.graph.qdq.graph import Graph
from dmformer.graph.qdq.inputs import layer_inputs, quantize_inputs
from dmformer.graph.qdq.scheme import Scheme
from dmformer.graph.qdq.sites import group_of

SYMMETRIC = Scheme("S8S8 symmetric", S8_SYMMETRIC, 127)


def emit_tensorrt(model: onnx.ModelProto, ranges: Mapping[str, Range], int8_groups: Collection[str]) -> onnx.ModelProto:
    """Writes Q/DQ for TensorRT.

    Args:
        model: The canonical float32 graph.
        ranges: Range of each site by node name; ``image`` for the input.
        int8_groups: Groups computed in integers. A block's ``residual`` means the skip inputs of its additions.

    Returns:
        A graph with the same interface.

    Raises:
        ExportError: A site that is needed has no range.
    """
    return quantize_inputs(model, ranges, int8_groups, SYMMETRIC, _inputs)


def _inputs(graph: Graph, node: onnx.NodeProto) -> list[str]:
    if node.op_type == "Add" and group_of(node.name).endswith(".residual"):
        return [skip] if (skip := skip_input(graph, node)) else []
    return layer_inputs(graph, node)


def skip_input(graph: Graph, add: onnx.NodeProto) -> str | None:
    """The input of a residual addition that comes past the branch: the one with other readers."""
    shared = [value for value in graph.data_inputs(add) if len(graph.readers(value)) > 1]
    return shared[0] if len(shared) == 1 else None
