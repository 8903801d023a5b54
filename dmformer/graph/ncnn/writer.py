"""Where ncnn's layers are collected while a graph is converted: blobs by ONNX value, constants in their dtype."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray

from dmformer.errors import ExportError
from dmformer.graph.ncnn.layers import NONE, RELU, SIGMOID, Shape
from dmformer.graph.ncnn.network import Layer, Parameter
from dmformer.graph.ncnn.weights import Array
from dmformer.graph.qdq.graph import Graph, attribute

ACTIVATIONS = {"Relu": RELU, "Sigmoid": SIGMOID}


class Writer:
    """Layers and weights in the order of the computation.

    Args:
        graph: What is converted; only read.

    Attributes:
        arrays: The weights so far.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.arrays: list[Array] = []
        self._layers: list[Layer] = []
        self._blobs: dict[str, str] = {}
        self._done: set[str] = set()
        for name in graph.inputs:
            channels, height, width = self.shape(name)
            self.add("Input", name, (), name, {0: width, 1: height, 2: channels})

    def shape(self, value: str) -> Shape:
        """The shape of a value without its batch.

        Raises:
            ExportError: A side is open.
        """
        dims = self.graph.tensors[value].shape.dim
        sides = tuple(dim.dim_value for dim in dims[1:])
        if 0 in sides:
            raise ExportError(f"ncnn: the size of {value} is not fixed", "export it without --dynamic-size")
        return sides

    def add(
        self,
        kind: str,
        name: str,
        values: tuple[str, ...],
        output: str,
        parameters: dict[int, Parameter],
        *arrays: Array,
    ) -> None:
        """Appends a layer.

        Args:
            kind: ncnn's type.
            name: Of the layer.
            values: The ONNX values that it reads.
            output: The value that it gives.
            parameters: By number.
            arrays: Its weights, as they stand in the file.
        """
        self._layers.append(
            Layer(kind, name, tuple(self._blobs.get(value, value) for value in values), (output,), parameters)
        )
        self.arrays.extend(arrays)

    def alias(self, value: str, source: str) -> None:
        """Lets a value be the blob of another one."""
        self._blobs[value] = self._blobs.get(source, source)

    def is_done(self, node: onnx.NodeProto) -> bool:
        """Whether a node is inside a layer that was written already."""
        return node.name in self._done

    def take_activation(self, value: str) -> tuple[str, int]:
        """The activation that alone reads a value, which then is done, as ncnn's number; and what it gives."""
        readers = self.graph.readers(value)
        if len(readers) != 1 or readers[0].op_type not in ACTIVATIONS or value in self.graph.outputs:
            return value, NONE
        self._done.add(readers[0].name)
        return readers[0].output[0], ACTIVATIONS[readers[0].op_type]

    def is_constant(self, value: str) -> bool:
        """Whether a value is a constant or one that was widened to float32."""
        producer = self.graph.producers.get(value)
        return value in self.graph.constants or (
            producer is not None and producer.op_type == "Cast" and producer.input[0] in self.graph.constants
        )

    def constant(self, value: str) -> NDArray[np.generic]:
        """A constant as it is stored: what is widened to float32 is float16."""
        producer = self.graph.producers.get(value)
        return self.graph.array(value if producer is None else producer.input[0])

    def floats(self, value: str) -> NDArray[np.float32]:
        """A constant in float32."""
        return np.asarray(self.constant(value), np.float32)

    def dequantized(self, value: str) -> tuple[str, NDArray[np.float32]] | None:
        """What a value was before Q/DQ (a constant: its codes) and its scales; None where there is none around it."""
        real = self.graph.producers.get(value)
        if real is None or real.op_type != "DequantizeLinear":
            return None
        codes = self.graph.producers.get(real.input[0])
        return (real.input[0] if codes is None else codes.input[0]), self.graph.array(real.input[1])

    def named_outputs(self) -> list[Layer]:
        """The layers with the graph's outputs under their own names."""
        names = {self._blobs[name]: name for name in self.graph.outputs if name in self._blobs}
        return [
            replace(
                layer,
                inputs=tuple(names.get(name, name) for name in layer.inputs),
                outputs=tuple(names.get(name, name) for name in layer.outputs),
            )
            for layer in self._layers
        ]


def integers(node: onnx.NodeProto, name: str, default: list[int]) -> tuple[int, ...]:
    """An attribute that is a list of integers."""
    return tuple(int(value) for value in attribute(node, name, default))
