"""Reading and rewiring of an ONNX graph: the few operations that the emitters share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference

from dmformer.errors import ExportError


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """A node's attribute, or what stands for it where it is left out."""
    return next((helper.get_attribute_value(entry) for entry in node.attribute if entry.name == name), default)


class Graph:
    """A private copy of a model with its edges indexed; `model` gives the result in topological order.

    Args:
        source: The model; it is not changed.

    Raises:
        ExportError: Two nodes share a name, so that a layer cannot be told from another.
    """

    def __init__(self, source: onnx.ModelProto) -> None:
        self._model = onnx.ModelProto()
        self._model.CopyFrom(source)
        proto = self._model.graph
        self.nodes: list[onnx.NodeProto] = list(proto.node)
        self.constants: dict[str, onnx.TensorProto] = {entry.name: entry for entry in proto.initializer}
        self.inputs: list[str] = [value.name for value in proto.input if value.name not in self.constants]
        self.outputs: list[str] = [value.name for value in proto.output]
        self.reindex()
        if len(self.by_name) != len(self.nodes):
            raise ExportError("the graph has nodes without a name of their own", "export it again with this version")

    def reindex(self) -> None:
        """Rebuilds the edge index after nodes or their inputs changed."""
        self.by_name = {node.name: node for node in self.nodes}
        self.producers = {value: node for node in self.nodes for value in node.output}
        readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for value in dict.fromkeys(node.input):
                readers[value].append(node)
        self._readers = readers

    @cached_property
    def tensors(self) -> dict[str, onnx.TypeProto.Tensor]:
        """Type and shape of every value of the model as it was given, as far as ONNX can infer them."""
        inferred = shape_inference.infer_shapes(self._model, data_prop=True).graph
        values = (*inferred.input, *inferred.value_info, *inferred.output)
        return {value.name: value.type.tensor_type for value in values}

    @property
    def opset(self) -> int:
        """Version of ONNX's own operators."""
        return max(int(entry.version) for entry in self._model.opset_import if not entry.domain)

    def is_float(self, value: str) -> bool:
        """Whether a value is float32, and no shape, index or code."""
        return value in self.tensors and self.tensors[value].elem_type == onnx.TensorProto.FLOAT

    def readers(self, value: str) -> list[onnx.NodeProto]:
        """The nodes that read a value, in graph order."""
        return self._readers.get(value, [])

    def array(self, name: str) -> NDArray[Any]:
        """A constant's values."""
        return np.asarray(numpy_helper.to_array(self.constants[name]))

    def set_array(self, name: str, values: NDArray[np.generic] | np.generic) -> str:
        """Adds or replaces a constant; returns its name."""
        self.constants[name] = numpy_helper.from_array(np.asarray(values, order="C"), name)
        return name

    def data_inputs(self, node: onnx.NodeProto) -> list[str]:
        """The inputs of a node that are computed, not constant."""
        return [value for value in node.input if value and value not in self.constants]

    def header(self) -> onnx.ModelProto:
        """An empty model of the same versions, operator sets and metadata."""
        source = self._model
        model = onnx.ModelProto(ir_version=source.ir_version, producer_name=source.producer_name)
        model.opset_import.extend(source.opset_import)
        model.metadata_props.extend(source.metadata_props)
        return model

    def model(self, extra: Iterable[onnx.NodeProto] = ()) -> onnx.ModelProto:
        """The finished model: nodes sorted topologically, unused constants dropped, stale shapes removed."""
        nodes = _sorted([*self.nodes, *extra], {*self.inputs, *self.constants})
        used = {value for node in nodes for value in node.input} | set(self.outputs)
        proto = self._model.graph
        del proto.node[:]
        proto.node.extend(nodes)
        del proto.initializer[:]
        proto.initializer.extend(entry for name, entry in self.constants.items() if name in used)
        del proto.value_info[:]
        return self._model


def _sorted(nodes: list[onnx.NodeProto], known: set[str]) -> list[onnx.NodeProto]:
    """Kahn's algorithm that keeps the given order where it can, so that the bytes are deterministic."""
    known = known | {""}
    waiting: dict[str, list[int]] = defaultdict(list)
    missing = []
    for index, node in enumerate(nodes):
        needs = {value for value in node.input if value not in known}
        missing.append(len(needs))
        for value in needs:
            waiting[value].append(index)
    ready = [index for index, count in enumerate(missing) if count == 0]
    order: list[onnx.NodeProto] = []
    while ready:
        node = nodes[ready.pop(0)]
        order.append(node)
        for value in node.output:
            for index in waiting[value]:
                missing[index] -= 1
                if missing[index] == 0:
                    ready.append(index)
    if len(order) != len(nodes):
        raise ExportError("the rewritten graph has a cycle or an input that nothing produces", "please report this")
    return order
