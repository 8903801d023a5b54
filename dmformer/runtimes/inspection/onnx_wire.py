"""The little of ONNX's file format that a device needs, without the package ``onnx``.

A protobuf message is a sequence of fields, and concatenating two messages merges them (protobuf's encoding
guide, "Last one wins": repeated fields are appended, inner messages merged). So an output is added to a
graph by appending a few bytes to the file.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
ModelField = {"ir_version": 1, "graph": 7, "opset": 8, "functions": 25}
GraphField = {"node": 1, "name": 2, "initializer": 5, "input": 11, "output": 12}
NodeField = {"input": 1, "output": 2, "name": 3, "op_type": 4}
FUNCTION_NODE = 7
ELEMENT = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6}
IR_VERSION, OPSET = 8, 17


def varint(value: int) -> bytes:
    """A number of 0 or more, seven bits to a byte."""
    pieces = bytearray()
    while value > 0x7F:
        pieces.append(value & 0x7F | 0x80)
        value >>= 7
    pieces.append(value)
    return bytes(pieces)


def field(number: int, value: int | bytes | str) -> bytes:
    """One field: a number, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | BYTES) + varint(len(content)) + content


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message in order: numbers and values.

    Raises:
        ValueError: It ends within a field, or is no protobuf.
    """
    view, at = memoryview(message), 0
    while at < len(view):
        key, at = _varint(view, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(view, at)
            yield number, value
            continue
        if kind == BYTES:
            size, at = _varint(view, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"field {number} is of the unknown kind {kind}")
        if at + size > len(view):
            raise ValueError("the message ends within a field")
        yield number, bytes(view[at : at + size])
        at += size


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(view) or shift > 63:
            raise ValueError("the message ends within a number")
        byte = view[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def node_outputs(model: bytes) -> dict[str, str]:
    """The first output tensor of every node of a serialized model, by the node's name.

    Raises:
        ValueError: It is no protobuf.
    """
    found = {}
    for number, graph in fields(model):
        if number != ModelField["graph"] or not isinstance(graph, bytes):
            continue
        for inner, node in fields(graph):
            if inner == GraphField["node"] and isinstance(node, bytes):
                named = [
                    (key, value.decode()) for key, value in fields(node) if isinstance(value, bytes) and key in (2, 3)
                ]
                outputs = [value for key, value in named if key == NodeField["output"]]
                name = next((value for key, value in named if key == NodeField["name"]), "")
                if name and outputs:
                    found[name] = outputs[0]
    return found


def operators(model: bytes) -> set[str]:
    """The operators of a serialized model's graph and functions; not of graphs inside of operators.

    Raises:
        ValueError: It is no protobuf.
    """
    found = set()
    for number, part in fields(model):
        if not isinstance(part, bytes) or number not in (ModelField["graph"], ModelField["functions"]):
            continue
        of_nodes = GraphField["node"] if number == ModelField["graph"] else FUNCTION_NODE
        for inner, node in fields(part):
            if inner == of_nodes and isinstance(node, bytes):
                kinds = [value for key, value in fields(node) if key == NodeField["op_type"]]
                found |= {kind.decode(errors="replace") for kind in kinds if isinstance(kind, bytes)}
    return found


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
