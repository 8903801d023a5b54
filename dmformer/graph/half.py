"""FP16 storage of an ONNX graph's weights, as a graph transformation.

Each large float32 constant becomes a float16 constant behind a Cast to float32. The file is half the
size, every runtime reads it, and none is told to compute in a precision that it may not have.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MIN_ELEMENTS = 16
"""Smaller constants stay as they are: a Cast would cost more than it saves."""


def compress_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the graph with float16 weights.

    A tensor with a value beyond float16's range (65504) stays float32.
    """
    compressed = onnx.ModelProto()
    compressed.CopyFrom(model)
    graph = compressed.graph
    casts = [cast for entry in graph.initializer if (cast := _compress(entry)) is not None]
    originals = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *originals])
    return compressed


def _compress(entry: onnx.TensorProto) -> onnx.NodeProto | None:
    """Turns a constant into float16 in place; returns the Cast that gives it back under its old name."""
    if entry.data_type != TensorProto.FLOAT:
        return None
    values = numpy_helper.to_array(entry)
    if values.size < MIN_ELEMENTS or np.abs(values).max() > np.finfo(np.float16).max:
        return None
    name = entry.name
    entry.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.float16"))
    return helper.make_node("Cast", [f"{name}.float16"], [name], name=f"{name}.widen", to=TensorProto.FLOAT)
