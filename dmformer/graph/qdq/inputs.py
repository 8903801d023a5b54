"""The placement that compilers with their own fusion want: Q/DQ on the inputs of integer layers only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

import onnx

from dmformer.graph.qdq.affine import Range
from dmformer.graph.qdq.graph import Graph
from dmformer.graph.qdq.insertion import Quantizers
from dmformer.graph.qdq.scheme import Scheme
from dmformer.graph.qdq.sites import COMPUTE, group_of, value_ranges

Inputs = Callable[[Graph, onnx.NodeProto], list[str]]
"""Which inputs of an integer node are quantized."""


def quantize_inputs(
    model: onnx.ModelProto, ranges: Mapping[str, Range], int8_groups: Collection[str], scheme: Scheme, inputs_of: Inputs
) -> onnx.ModelProto:
    """Writes Q/DQ on chosen inputs of the nodes in ``int8_groups``, and int8 weights; biases stay float.

    Readers of the same value share one pair.

    Args:
        model: The canonical float32 graph.
        ranges: Range of each site by node name.
        int8_groups: Groups computed in integers.
        scheme: Integer types.
        inputs_of: The runtime's rule.

    Raises:
        ExportError: A site that is needed has no range.
    """
    graph = Graph(model)
    quantizers = Quantizers(graph, value_ranges(graph, ranges), scheme)
    integer = [node for node in graph.nodes if group_of(node.name) in int8_groups]
    for node in integer:
        if node.op_type in COMPUTE:
            quantizers.weight(node, None)
    quantize_reads(quantizers, integer, inputs_of)
    return quantizers.finish()


def quantize_reads(quantizers: Quantizers, nodes: Iterable[onnx.NodeProto], inputs_of: Inputs) -> None:
    """Writes Q/DQ on chosen inputs of some nodes. Readers of the same value share one pair."""
    readers: dict[str, list[tuple[str, str]]] = {}
    for node in nodes:
        for value in inputs_of(quantizers.graph, node):
            readers.setdefault(value, []).append((node.name, value))
    for value, places in readers.items():
        quantizers.activation(value, places)


def layer_inputs(graph: Graph, node: onnx.NodeProto) -> list[str]:
    """The data input of a layer with weights; nothing of any other node."""
    return [node.input[0]] if node.op_type in COMPUTE else []
