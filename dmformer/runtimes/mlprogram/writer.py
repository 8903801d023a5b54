"""An ONNX graph as it is written, node by node, in the order of the computation."""

from __future__ import annotations

from typing import Any

import numpy as np

from dmformer.runtimes.mlprogram.messages import Content, Type

OPSETS = {"": 21, "ai.onnx.ml": 3}
IR_VERSION = 10
HALF = "float16"


class Name(str):
    """A value that the graph computes; constants are arrays and texts."""


Operand = Name | Content


class Writer:
    """Nodes, constants, inputs and declared shapes. Every name is the writer's own, whatever a program calls it."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._declared: list[Any] = []

    def input(self, kind: Type) -> Name:
        """A float32 input of a type's shape, for any number of images."""
        name = Name(f"input{len(self._inputs)}")
        self._inputs.append(_described(name, "float32", kind))
        return name

    def emit(self, operator: str, *operands: Operand, label: str = "", **attributes: Any) -> Name:
        """Writes a node and gives the name of its output, which begins with the label: messages show it."""
        from onnx import helper

        name = Name(f"{label}#{len(self._nodes)}")
        inputs = [operand if isinstance(operand, Name) else self._constant(operand) for operand in operands]
        self._nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def cast(self, source: Operand, dtype: str) -> Name:
        """Writes a cast; the dtype is NumPy's name of it."""
        from onnx import helper

        return self.emit("Cast", source, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def declared(self, name: Name, kind: Type) -> Name:
        """A value of the type that the program says it has, which ONNX Runtime compares with what it infers.

        float16 is float32 rounded by a pair of casts, as in `dmformer.graph.twin`: ONNX Runtime keeps them, and its CPU
        provider has no half-precision kernels.
        """
        if kind.shape:
            self._declared.append(_described(name, "float32" if kind.dtype == HALF else kind.dtype, kind))
        return self.cast(self.cast(name, HALF), "float32") if kind.dtype == HALF else name

    def model(self, outputs: list[Name]) -> bytes:
        """The serialized graph."""
        import onnx
        from onnx import helper

        # What an output is, ONNX Runtime infers.
        results = [onnx.ValueInfoProto(name=name) for name in outputs]
        graph = helper.make_graph(
            self._nodes, "program", self._inputs, results, self._constants, value_info=self._declared
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString())

    def _constant(self, content: Content) -> str:
        from onnx import numpy_helper

        name = f"constant{len(self._constants)}"
        array = np.asarray(content, object) if isinstance(content, str | tuple) else content
        self._constants.append(numpy_helper.from_array(widened(array), name))
        return name


def widened(array: np.ndarray) -> np.ndarray:
    """Halves as float32, in which everything is computed."""
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _described(name: str, dtype: str, kind: Type) -> Any:
    """A value with its shape; the first dimension is left open, for a program that is written for one image."""
    from onnx import helper

    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [None, *kind.shape[1:]]
    )
