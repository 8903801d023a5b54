"""The little of ONNX's file format that a device needs, without the package ``onnx``.

Concatenating two messages merges them (protobuf's encoding guide, "Last one wins": repeated fields are appended, inner
messages merged). So an output is added to a graph by appending a few bytes to the file.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmformer.runtimes.protobuf import Message, field

ModelField = {"ir_version": 1, "graph": 7, "opset": 8, "functions": 25}
GraphField = {"node": 1, "name": 2, "initializer": 5, "input": 11, "output": 12}
NodeField = {"input": 1, "output": 2, "name": 3, "op_type": 4}
FUNCTION_NODE = 7
ELEMENT = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6}
IR_VERSION, OPSET = 8, 17


def node_outputs(model: bytes) -> dict[str, str]:
    """The first output tensor of every node of a serialized model, by the node's name.

    Raises:
        ValueError: It is no protobuf.
    """
    nodes = (
        node for graph in Message(model).messages(ModelField["graph"]) for node in graph.messages(GraphField["node"])
    )
    outputs = {node.text(NodeField["name"]): node.all(NodeField["output"]) for node in nodes}
    return {name: tensors[0].decode() for name, tensors in outputs.items() if name and tensors}


def operators(model: bytes) -> list[str]:
    """The operator of every node of a serialized model's graph and functions; not of graphs inside of operators.

    Raises:
        ValueError: It is no protobuf.
    """
    places = ((ModelField["graph"], GraphField["node"]), (ModelField["functions"], FUNCTION_NODE))
    parts = Message(model)
    nodes = (node for outer, inner in places for part in parts.messages(outer) for node in part.messages(inner))
    return [node.text(NodeField["op_type"]) for node in nodes]


def with_outputs(model: bytes, tensors: list[str]) -> bytes:
    """The serialized model with more tensors among the outputs of its graph."""
    graph = b"".join(field(GraphField["output"], field(1, name)) for name in tensors)
    return model + field(ModelField["graph"], graph)


def product_model(left: NDArray[np.generic], right: NDArray[np.generic], result: str) -> bytes:
    """A serialized model that multiplies its input ``left`` by the constant ``right``.

    Args:
        left: Gives shape and dtype of the input ``a``: float32, or uint8.
        right: float32, or int8.
        result: dtype of the output ``y``: ``float32`` or ``int32``.
    """
    operator = "MatMul" if result == "float32" else "MatMulInteger"
    node = b"".join((field(1, "a"), field(1, "b"), field(2, "y"), field(3, "product"), field(4, operator)))
    constant = b"".join(field(1, side) for side in right.shape)
    constant += field(2, ELEMENT[right.dtype.name]) + field(8, "b") + field(9, right.tobytes())
    graph = b"".join(
        (
            field(GraphField["node"], node),
            field(GraphField["name"], "product"),
            field(GraphField["initializer"], constant),
            field(GraphField["input"], _value("a", left.dtype.name, left.shape)),
            field(GraphField["output"], _value("y", result, (left.shape[0], right.shape[1]))),
        )
    )
    opset = field(1, "") + field(2, OPSET)
    return field(ModelField["ir_version"], IR_VERSION) + field(ModelField["opset"], opset) + field(7, graph)


def _value(name: str, element: str, shape: tuple[int, ...]) -> bytes:
    dimensions = b"".join(field(1, field(1, side)) for side in shape)
    tensor = field(1, ELEMENT[element]) + field(2, dimensions)
    return field(1, name) + field(2, field(1, tensor))
