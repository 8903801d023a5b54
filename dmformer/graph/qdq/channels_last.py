"""The float parts of an INT8 graph with the channels last, as ONNX Runtime's integer convolutions want them.

ONNX Runtime computes QLinearConv on ``[N, H, W, C]``. Around the float values of a graph in ``[N, C, H, W]`` (the
residual stream, the gate's product) it therefore transposes twice for every convolution, in float32, and its own
transpose optimizer does not find that the whole stream could stay as it is. Here every addition, product and
GELU between integer layers, and the quantizers beside them, work on channels-last values; what is left is one
transposition where the stream begins. A transposition between a QuantizeLinear and the DequantizeLinear
behind it is one of bytes, which cancels against those that the runtime writes around QLinearConv.

The same function to the last bit but for the mean over the positions, which is summed in another order. Measured
by ``python -m benchmarks.int8_speed``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import helper

from dmformer.graph.qdq.graph import Graph
from dmformer.layouts import CHANNELS_LAST

TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
POINTWISE = ("Add", "Mul", "Gelu")
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
POOL = "GlobalAveragePool"


def keep_channels_last(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrites the float values between integer layers to ``[N, H, W, C]``.

    Args:
        model: With Q/DQ by ONNX Runtime's rules.

    Returns:
        A graph with the same interface; the same object where nothing is to be gained.
    """
    graph = Graph(model)
    shapes = {value: tuple(dim.dim_value for dim in tensor.shape.dim) for value, tensor in graph.tensors.items()}
    shapes |= {name: tuple(constant.dims) for name, constant in graph.constants.items()}
    moved = [node for node in graph.nodes if _is_float_arithmetic(graph, shapes, node)]
    if not any(node.op_type == "QuantizeLinear" for node in graph.nodes) or not moved:
        return model
    return _Rewriting(graph, shapes, moved).finish()


Shapes = dict[str, tuple[int, ...]]
"""Dimensions of every value of known rank; 0 stands for an open one."""


def _is_float_arithmetic(graph: Graph, shapes: Shapes, node: onnx.NodeProto) -> bool:
    """Whether a node computes in float, value by value, on images."""
    if node.op_type not in POINTWISE or len(shapes.get(node.output[0], ())) != 4:
        return False
    return all(len(shapes.get(value, ())) == 4 for value in node.input) and not _is_fused(graph, node)


def _is_fused(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether ONNX Runtime makes one integer operator of it and the pairs around it; it has none for the GELU."""
    if node.op_type == "Gelu":
        return False
    sources = [graph.producers.get(value) for value in node.input]
    readers = graph.readers(node.output[0])
    return all(source is not None and source.op_type == "DequantizeLinear" for source in sources) and all(
        reader.op_type == "QuantizeLinear" for reader in readers
    )


class _Rewriting:
    """Moves ``nodes``, and the quantizers and means beside them, to channels-last values."""

    def __init__(self, graph: Graph, shapes: Shapes, nodes: list[onnx.NodeProto]) -> None:
        self._graph = graph
        self._shapes = shapes
        self._moved = {node.name: node for node in nodes}
        self._moved |= {node.name: node for node in self._beside(nodes)}
        self._values = {value for node in self._moved.values() if node.op_type != POOL for value in node.output}
        self._added: list[onnx.NodeProto] = []

    def _beside(self, nodes: list[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
        touched = dict.fromkeys(value for node in nodes for value in (*node.input, *node.output))
        for value in touched:
            source = self._graph.producers.get(value)
            if source is not None and source.op_type == "DequantizeLinear":
                yield source
            yield from (reader for reader in self._graph.readers(value) if reader.op_type in ("QuantizeLinear", POOL))

    def finish(self) -> onnx.ModelProto:
        for node in self._moved.values():
            if node.op_type == POOL:
                self._pool(node)
            else:
                self._move(node)
        for value in sorted(self._values):
            self._return(value)
        return self._graph.model(self._added)

    def _move(self, node: onnx.NodeProto) -> None:
        count = 1 if node.op_type in QUANTIZERS else len(node.input)
        node.input[:] = [*(self._last(value) for value in node.input[:count]), *node.input[count:]]
        node.output[0] += CHANNELS_LAST

    def _last(self, value: str) -> str:
        """The name of a value with the channels last; transposed where nothing gives it so."""
        last = value + CHANNELS_LAST
        if value not in self._values and all(last not in node.output for node in self._added):
            self._transpose(value, last, TO_LAST)
        return last

    def _return(self, value: str) -> None:
        """Gives the value in its old layout to those that stay as they were."""
        outside = any(reader.name not in self._moved for reader in self._graph.readers(value))
        if outside or value in self._graph.outputs:
            self._transpose(value + CHANNELS_LAST, value, TO_FIRST)

    def _transpose(self, source: str, target: str, order: tuple[int, ...]) -> None:
        name = f"{source}/transpose"
        self._added.append(helper.make_node("Transpose", [source], [target], name=name, perm=order))

    def _pool(self, node: onnx.NodeProto) -> None:
        """A mean over positions as a product with a row: ONNX Runtime's own is slow across channels."""
        value, name = node.input[0], node.name
        _, channels, height, width = self._shapes[value]
        positions = height * width
        inner, row, pooled = f"{value}/flat", f"{name}/row", f"{name}/pooled"
        flat = self._graph.set_array(f"{name}/flat", np.array([0, positions or -1, channels]))
        shape = self._graph.set_array(f"{name}/shape", np.array([0, channels, 1, 1]))
        self._graph.nodes.remove(node)
        self._added.append(helper.make_node("Reshape", [self._last(value), flat], [inner], name=f"{name}/flatten"))
        if positions:
            self._graph.set_array(row, np.full((1, positions), 1 / positions, np.float32))
        else:
            self._added += self._open_row(name, inner, row)
        self._added += [
            helper.make_node("MatMul", [row, inner], [pooled], name=f"{name}/mean"),
            helper.make_node("Reshape", [pooled, shape], [node.output[0]], name=name),
        ]

    def _open_row(self, name: str, inner: str, row: str) -> list[onnx.NodeProto]:
        """The row for as many positions as there are: ``[1, P]`` of ``1 / P``."""
        one = self._graph.set_array(f"{name}/one", np.array([1]))
        count, size, many, share = (f"{row}/{part}" for part in ("count", "size", "many", "share"))
        return [
            helper.make_node("Shape", [inner], [count], name=count, start=1, end=2),
            helper.make_node("Concat", [one, count], [size], name=size, axis=0),
            helper.make_node("Cast", [count], [many], name=many, to=onnx.TensorProto.FLOAT),
            helper.make_node("Reciprocal", [many], [share], name=share),
            helper.make_node("Expand", [share, size], [row], name=row),
        ]
