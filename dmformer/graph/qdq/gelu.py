"""The GELU between two integer layers, in ONNX Runtime's integer operators.

ONNX Runtime has no integer GELU: its Q/DQ are left around a float one, which moves the widest activation of
each block through memory four times over. ``x * sigmoid(1.702 x)`` (Hendrycks and Gimpel, arXiv 1606.08415)
has integer operators: QLinearSigmoid is a table of 256 entries, QLinearMul a vector loop. Its distance from
the GELU is at most 0.021; what that means for the answers is measured like any other error, and each
block's group ``ffn.gelu`` in the precision plan decides.

The multiplication by 1.702 costs nothing: the sigmoid reads the same codes with a larger scale.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import helper

from dmformer.graph.qdq.graph import Graph
from dmformer.graph.qdq.sites import group_of

STEEPNESS = 1.702
UNIT_SCALE = np.float32(1 / 255)
"""Scale of the sigmoid's codes: 0 to 1 on 256 levels."""


def replace_gelus(model: onnx.ModelProto, int8_groups: Collection[str]) -> onnx.ModelProto:
    """Puts ``x * sigmoid(1.702 x)`` with Q/DQ for each Gelu in ``int8_groups`` that reads and writes codes."""
    graph = Graph(model)
    extra: list[onnx.NodeProto] = []
    for node in list(graph.nodes):
        if node.op_type == "Gelu" and group_of(node.name) in int8_groups and _between_codes(graph, node):
            graph.nodes.remove(node)
            extra += _sigmoid_gelu(graph, node)
    return graph.model(extra)


def _between_codes(graph: Graph, node: onnx.NodeProto) -> bool:
    source = graph.producers.get(node.input[0])
    readers = graph.readers(node.output[0])
    reads = source is not None and source.op_type == "DequantizeLinear"
    return reads and bool(readers) and all(reader.op_type == "QuantizeLinear" for reader in readers)


def _sigmoid_gelu(graph: Graph, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    name, source = node.name, graph.producers[node.input[0]]
    codes, scale, zero = source.input
    dtype = graph.array(zero).dtype
    steep = graph.set_array(f"{name}/steep_scale", np.float32(STEEPNESS) * graph.array(scale))
    unit = graph.set_array(f"{name}/unit_scale", UNIT_SCALE)
    lowest = graph.set_array(f"{name}/unit_zero_point", np.array(np.iinfo(dtype).min, dtype))
    make = helper.make_node
    return [
        make("DequantizeLinear", [codes, steep, zero], [f"{name}/steep"], name=f"{name}/steepen"),
        make("Sigmoid", [f"{name}/steep"], [f"{name}/share"], name=f"{name}/sigmoid"),
        make(
            "QuantizeLinear",
            [f"{name}/share", unit, lowest],
            [f"{name}/share/quantized"],
            name=f"{name}/share/quantize",
        ),
        make(
            "DequantizeLinear",
            [f"{name}/share/quantized", unit, lowest],
            [f"{name}/share/dequantized"],
            name=f"{name}/share/dequantize",
        ),
        make("Mul", [node.input[0], f"{name}/share/dequantized"], [node.output[0]], name=name),
    ]
