"""Half precision as a property of the graph: every tensor gets the type that it is computed in.

Strongly typed TensorRT networks (the only kind from 11.0 on, docs.nvidia.com/deeplearning/tensorrt, migration from
10.x to 11.x) compute each tensor in the type that the ONNX graph gives it. So does this conversion: float32 becomes
float16 except where half precision is unsafe. The interface stays float32.

Unsafe, and left in float32, are means over the image and gates (a sum of thousands of terms, and a sigmoid whose
slope is lost near 0 and 1), and every layer that writes or reads a value beyond float16's range in the range scan.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from dmformer.graph.passes import check
from dmformer.graph.qdq.affine import Range
from dmformer.graph.qdq.graph import Graph

FLOAT16_LIMIT = float(np.finfo(np.float16).max)
HEADROOM = 4.0
"""How far inside float16's range a scanned value must stay: other images go further than those that were scanned."""
UNSAFE_OPERATORS = frozenset(
    {"GlobalAveragePool", "ReduceMean", "ReduceSum", "Sigmoid", "Softmax", "LayerNormalization"}
)
SCALE_ERROR = 1 / 256
"""Largest relative change of a quantization scale by rounding it to float16: half a step of the largest code."""

FLOAT, HALF = int(TensorProto.FLOAT), int(TensorProto.FLOAT16)
HALF_TENSOR = "tensor(float16)"
SUFFIX = {FLOAT: "float", HALF: "half"}


@dataclass(frozen=True)
class Float16Graph:
    """A typed graph.

    Attributes:
        model: float32 at its ends, float16 inside.
        kept: Names of the nodes that compute in float32, sorted.
        overflowing: Those of them that are kept because of a value beyond float16's range, sorted.
    """

    model: onnx.ModelProto
    kept: tuple[str, ...]
    overflowing: tuple[str, ...]


def to_float16(
    model: onnx.ModelProto, ranges: Mapping[str, Range], unsafe: Collection[str] = UNSAFE_OPERATORS
) -> Float16Graph:
    """Types a float32 graph, with or without Q/DQ, for half precision.

    Args:
        model: Float32 graph whose nodes have names of their own; Q/DQ pairs keep their integers and get float16 scales.
        ranges: Range of each site by node name, scanned on images; sites that are not named are taken to be safe.
        unsafe: Operators that stay in float32.

    Raises:
        ExportError: The result is not a valid graph.
    """
    graph = Graph(model)
    overflowing = _overflowing(graph, ranges)
    kept = {node.name for node in graph.nodes if node.op_type in unsafe} | overflowing
    kept |= {node.name for node in graph.nodes if not _constants_fit(graph, node)}
    kept |= _dequantizers_of(graph, kept)
    typed = _Typing(graph, kept).apply()
    return Float16Graph(check(typed), tuple(sorted(kept)), tuple(sorted(overflowing)))


def _overflowing(graph: Graph, ranges: Mapping[str, Range]) -> set[str]:
    """Writers and readers of values that float16 cannot hold: a reader in float16 would read infinity."""
    limit = FLOAT16_LIMIT / HEADROOM
    names: set[str] = set()
    for site, span in ranges.items():
        if max(abs(span.low), abs(span.high)) <= limit:
            continue
        node = graph.by_name.get(site)
        values = [site] if node is None else list(node.output)
        names |= set() if node is None else {site}
        names |= {reader.name for value in values for reader in graph.readers(value)}
    return names


def _constants_fit(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node's float constants survive float16: finite, and scales accurate enough."""
    for name in node.input:
        if name not in graph.constants or graph.constants[name].data_type != FLOAT:
            continue
        values = graph.array(name)
        if values.size and float(np.abs(values).max()) > FLOAT16_LIMIT:
            return False
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and not _is_accurate(values):
            return False
    return True


def _is_accurate(scales: NDArray[np.float32]) -> bool:
    change = np.abs(scales.astype(np.float16).astype(np.float32) - scales)
    return bool((change <= SCALE_ERROR * np.abs(scales)).all())


def _dequantizers_of(graph: Graph, kept: Collection[str]) -> set[str]:
    """The dequantizers read by kept nodes: a Cast between the two would keep TensorRT from fusing them."""
    return {
        graph.producers[value].name
        for name in kept
        for value in graph.by_name[name].input
        if value in graph.producers and graph.producers[value].op_type == "DequantizeLinear"
    }


class _Typing:
    """Gives every float edge of a graph its type, with a Cast where two types meet."""

    def __init__(self, graph: Graph, kept: Collection[str]) -> None:
        self._graph = graph
        self._kept = kept
        self._casts: dict[str, onnx.NodeProto] = {}
        self._types = {value: FLOAT for value in graph.inputs if graph.is_float(value)}
        for node in graph.nodes:
            own, formals = self._schema(node).outputs, {entry.type_str for entry in self._schema(node).inputs}
            for value, formal in zip(node.output, own, strict=False):
                if graph.is_float(value):
                    # A result of a type of its own (Cast's, a constant's) stays what its attribute says.
                    self._types[value] = self._type_of(node) if formal.type_str in formals else FLOAT

    def _schema(self, node: onnx.NodeProto) -> onnx.defs.OpSchema:
        return onnx.defs.get_schema(node.op_type, self._graph.opset, node.domain)

    def _type_of(self, node: onnx.NodeProto) -> int:
        return FLOAT if node.name in self._kept else HALF

    def apply(self) -> onnx.ModelProto:
        for node in self._graph.nodes:
            formals = self._schema(node).inputs
            node.input[:] = [
                # The last formal parameter stands for all that follow. Some take float32 alone: Resize's scales.
                self._as(name, self._type_of(node) if HALF_TENSOR in formal.types else FLOAT)
                for name, formal in zip(node.input, chain(formals, repeat(formals[-1])), strict=False)
            ]
        self._restore_outputs()
        return self._graph.model(self._casts.values())

    def _as(self, name: str, wanted: int) -> str:
        """The name under which a value or constant is found in the wanted type."""
        constant = self._graph.constants.get(name)
        if constant is not None:
            is_float = constant.data_type == FLOAT and wanted == HALF
            return self._half_constant(name) if is_float else name
        if self._types.get(name, wanted) == wanted:
            return name
        return self._cast(name, wanted)

    def _half_constant(self, name: str) -> str:
        half = f"{name}/half"
        if half not in self._graph.constants:
            self._graph.set_array(half, self._graph.array(name).astype(np.float16))
        return half

    def _cast(self, name: str, wanted: int) -> str:
        output = f"{name}/{SUFFIX[wanted]}"
        if output not in self._casts:
            self._casts[output] = helper.make_node("Cast", [name], [output], name=output, to=wanted)
        return output

    def _restore_outputs(self) -> None:
        """Lets the graph's outputs keep their names and be float32."""
        for name in self._graph.outputs:
            if self._types.get(name) != HALF:
                continue
            inner = f"{name}/half"
            for node in self._graph.nodes:
                node.output[:] = [inner if value == name else value for value in node.output]
                node.input[:] = [inner if value == name else value for value in node.input]
            self._casts[name] = helper.make_node("Cast", [inner], [name], name=f"{name}/restored", to=FLOAT)
