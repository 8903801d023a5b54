"""Q/DQ as OpenVINO's CPU plugin fuses it.

OpenVINO reads each pair as a FakeQuantize and propagates integers from it to the next layer (low precision
transformations). A convolution takes activation, additions and the next quantizer in as post-operations,
computed in float32 on the accumulators: so only the *inputs* of integer layers are quantized, and neither
additions nor the residual stream lose a bit. Biases stay float.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx

from dmformer.export.qdq.affine import Range
from dmformer.export.qdq.graph import Graph
from dmformer.export.qdq.insertion import Quantizers
from dmformer.export.qdq.scheme import U8S8
from dmformer.export.qdq.sites import COMPUTE, group_of, value_ranges


def emit_openvino(model: onnx.ModelProto, ranges: Mapping[str, Range], int8_groups: Collection[str]) -> onnx.ModelProto:
    """Writes Q/DQ for OpenVINO on a CPU.

    Args:
        model: The canonical float32 graph.
        ranges: Range of each site by node name; ``image`` for the input.
        int8_groups: Groups computed in integers; all else stays in OpenVINO's float precision.

    Returns:
        A graph with the same interface.

    Raises:
        ExportError: A site that is needed has no range.
    """
    graph = Graph(model)
    quantizers = Quantizers(graph, value_ranges(graph, ranges), U8S8)
    readers: dict[str, list[tuple[str, str]]] = {}
    for node in graph.nodes:
        if node.op_type in COMPUTE and group_of(node.name) in int8_groups:
            readers.setdefault(node.input[0], []).append((node.name, node.input[0]))
            quantizers.weight(node, None)
    for value, places in readers.items():
        quantizers.activation(value, places)
    return quantizers.finish()
