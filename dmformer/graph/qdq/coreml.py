"""Q/DQ in the form that Core ML's ``quantize`` and ``dequantize`` operators have (iOS 17, macOS 14 and later).

Core ML computes a convolution in integers when its input is dequantized from symmetric int8 and its weight
from int8 per output channel (coremltools, "Quantizing weights and activations"). Zero points are 0; biases,
additions and the gate stay float16 or float32.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx

from dmformer.graph.qdq.affine import Range
from dmformer.graph.qdq.graph import Graph
from dmformer.graph.qdq.inputs import layer_inputs, quantize_inputs
from dmformer.graph.qdq.sites import COMPUTE, group_of, value_ranges
from dmformer.graph.qdq.tensorrt import SYMMETRIC


def emit_coreml(model: onnx.ModelProto, ranges: Mapping[str, Range], int8_groups: Collection[str]) -> onnx.ModelProto:
    """Writes symmetric Q/DQ on the inputs of integer layers; see `quantize_inputs` for arguments and errors."""
    return quantize_inputs(model, ranges, int8_groups, SYMMETRIC, layer_inputs)


def activation_stats(
    model: onnx.ModelProto, ranges: Mapping[str, Range], int8_groups: Collection[str]
) -> dict[str, dict[str, float]]:
    """The same ranges in the form of coremltools' ``activation_stats``, by the layer that reads the value.

    Args:
        model: The canonical float32 graph.
        ranges: Range of each site by node name.
        int8_groups: Groups computed in integers.

    Returns:
        ``{layer: {"rmin": low, "rmax": high}}`` in the activation's units.
    """
    graph = Graph(model)
    spans = value_ranges(graph, ranges)
    layers = [node for node in graph.nodes if node.op_type in COMPUTE and group_of(node.name) in int8_groups]
    known = {node.name: spans[node.input[0]] for node in layers if node.input[0] in spans}
    return {name: {"rmin": span.low, "rmax": span.high} for name, span in known.items()}
