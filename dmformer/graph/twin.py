"""The numerical twin of a typed graph: what an engine computes, on a machine that cannot run the engine.

ONNX Runtime's CPU provider has no half-precision kernels: it widens a float16 graph to float32 and drops the casts
in between, so that neither rounding nor overflow would show. The twin is a float32 graph in which every tensor that
is float16 in the typed graph is rounded to float16 by an explicit pair of casts, which ONNX Runtime keeps.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dmformer.graph.passes import check
from dmformer.graph.qdq.graph import Graph

PROBE = 251
"""A batch that no other dimension is likely to be."""


def twin_of(typed: onnx.ModelProto) -> onnx.ModelProto:
    """The float32 graph that rounds as a typed graph does.

    Args:
        typed: Result of `dmformer.graph.float16.to_float16`, or any graph of float32 and float16.

    Returns:
        A float32 graph with the same interface. Products are summed in float32, as tensor cores do.

    Raises:
        ExportError: The result is not a valid graph.
    """
    halves = half_values(typed)
    if not halves:
        return typed
    model = onnx.ModelProto()
    model.CopyFrom(typed)
    for entry in model.graph.initializer:
        if entry.data_type == TensorProto.FLOAT16:
            wide = numpy_helper.to_array(entry).astype(np.float32)
            entry.CopyFrom(numpy_helper.from_array(wide, entry.name))
    nodes = [made for node in model.graph.node for made in _rounded(node, halves)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]
    return check(model)


def half_values(typed: onnx.ModelProto) -> frozenset[str]:
    """Names of the computed values that are float16."""
    tensors = Graph(typed).tensors
    return frozenset(name for name, tensor in tensors.items() if tensor.elem_type == TensorProto.FLOAT16)


def _rounded(node: onnx.NodeProto, halves: frozenset[str]) -> list[onnx.NodeProto]:
    """A node followed by the rounding of its output, under the output's name."""
    output = node.output[0]
    if output not in halves:
        # A cast to float32 of what already is changes nothing; one to integers stays what it is.
        return [node]
    if node.op_type == "Cast":
        return _pair(node.input[0], output, node.name)
    node.output[0] = f"{output}/exact"
    return [node, *_pair(node.output[0], output, node.name)]


def _pair(source: str, output: str, name: str) -> list[onnx.NodeProto]:
    narrow = f"{output}/float16"
    return [
        helper.make_node("Cast", [source], [narrow], name=f"{name}/narrow", to=TensorProto.FLOAT16),
        helper.make_node("Cast", [narrow], [output], name=f"{name}/widen", to=TensorProto.FLOAT),
    ]


def can_open_batch(model: onnx.ModelProto) -> bool:
    """Whether every value that follows from the image has as many rows as there are images, for any number of them.

    ONNX's shape inference is asked what another batch would become. Shapes, which are int64, have no rows.
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.value_info[:]
    for value in probe.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = PROBE
    for value in probe.graph.output:
        value.type.tensor_type.ClearField("shape")
    graph, following = Graph(probe), {entry.name for entry in probe.graph.input}
    for node in graph.nodes:
        following |= set(node.output) if following & {*node.input} else set()
    tensors = [graph.tensors.get(value, onnx.TypeProto.Tensor()) for value in following]
    return all(
        [dim.dim_value for dim in tensor.shape.dim[:1]] == [PROBE]
        for tensor in tensors
        if tensor.elem_type != TensorProto.INT64
    )


def with_open_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a graph whose first dimension is open.

    Raises:
        ExportError: The graph does not allow it.
    """
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    for value in (*opened.graph.input, *opened.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del opened.graph.value_info[:]
    return check(opened)
