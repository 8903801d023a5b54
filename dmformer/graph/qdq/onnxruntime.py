"""Q/DQ as ONNX Runtime's CPU provider fuses it.

The provider replaces ``DequantizeLinear -> op -> QuantizeLinear`` by one integer operator (QLinearConv,
QLinearAdd, QGemm, ...), so an integer layer needs its inputs *and* its output quantized. A Relu before
QuantizeLinear disappears when the zero point is the lowest code (optimizer/qdq_transformer).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx

from dmformer.graph.qdq.affine import Range
from dmformer.graph.qdq.gelu import replace_gelus
from dmformer.graph.qdq.graph import Graph
from dmformer.graph.qdq.insertion import Quantizers
from dmformer.graph.qdq.scheme import Scheme
from dmformer.graph.qdq.sites import ARITHMETIC, COMPUTE, activated, group_of, value_ranges


def emit_onnxruntime(
    model: onnx.ModelProto, ranges: Mapping[str, Range], int8_groups: Collection[str], scheme: Scheme
) -> onnx.ModelProto:
    """Writes Q/DQ for ONNX Runtime on a CPU.

    Args:
        model: The canonical float32 graph.
        ranges: Range of each site by node name; ``image`` for the input.
        int8_groups: Groups computed in integers (`sites.group_of`); all else stays float32.
        scheme: Integer types that suit the CPU.

    Returns:
        A graph with the same interface.

    Raises:
        ExportError: A site that is needed has no range.
    """
    graph = Graph(model)
    # Arithmetic of shapes is in integers already.
    arithmetic = (node for node in graph.nodes if node.op_type in ARITHMETIC and graph.is_float(node.output[0]))
    integer = [node for node in arithmetic if group_of(node.name) in int8_groups]
    quantizers = Quantizers(graph, value_ranges(graph, ranges), scheme)
    readers = _readers(graph, integer)
    for node in integer:
        if node.op_type in COMPUTE:
            quantizers.weight(node, quantizers.affine_of(node.input[0]).scale)
    for value, names in readers.items():
        quantizers.activation(value, [(name, value) for name in names])
    return replace_gelus(quantizers.finish(), int8_groups)


def _readers(graph: Graph, integer: list[onnx.NodeProto]) -> dict[str, list[str]]:
    """Which values are quantized, and the names of the nodes that read the quantized form of each."""
    emitted = {activated(graph, node).output[0] for node in integer} - set(graph.outputs)
    readers: dict[str, list[str]] = {value: [node.name for node in graph.readers(value)] for value in sorted(emitted)}
    for node in integer:
        for value in graph.data_inputs(node):
            if value not in emitted and node.name not in readers.setdefault(value, []):
                readers[value].append(node.name)
    return readers
