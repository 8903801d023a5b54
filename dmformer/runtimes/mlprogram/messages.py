"""The part of Core ML's protobuf that an ML Program needs, read into plain data.

The numbers of the fields are those of ``Model.proto``, ``FeatureTypes.proto`` and ``MIL.proto`` in Apple's
coremltools (mlmodel/format). Unknown fields are skipped, as protobuf asks for; what is hostile is a `ValueError`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmformer.runtimes.protobuf import Message

Content = NDArray[np.generic] | str | tuple[str, ...]

DTYPES: dict[int, str] = {
    1: "bool", 2: "string", 10: "float16", 11: "float32", 12: "float64", 21: "int8", 22: "int16", 23: "int32",
    24: "int64", 31: "uint8", 32: "uint16", 33: "uint32",
}  # fmt: skip
"""``MIL.proto``'s DataType."""
MAX_ELEMENTS, MAX_RANK = 1 << 31, 16
LIST, DICTIONARY = "list", "dictionary"
COLOURS = {10: "grey", 20: "rgb", 30: "bgr"}
KINDS = {500: "NeuralNetwork", 303: "NeuralNetwork", 403: "NeuralNetwork", 200: "pipeline", 201: "pipeline",
         202: "pipeline"}  # fmt: skip
"""Models that are no ML Program, by their field in ``Model.proto``; what is not here is named by its number."""
FIRST_KIND, ML_PROGRAM = 200, 502


@dataclass(frozen=True)
class Type:
    """dtype and shape of a value; None is an open dimension. Lists and dictionaries have no shape."""

    dtype: str
    shape: tuple[int | None, ...] = ()


@dataclass(frozen=True)
class BlobReference:
    """Where in which file a constant's values lie."""

    file: str
    offset: int


@dataclass(frozen=True)
class Value:
    """A constant: its type, and its content or where that is to be found."""

    type: Type
    content: Content | BlobReference


@dataclass(frozen=True)
class Operation:
    """One operation of a block.

    Attributes:
        kind: The operator's name.
        inputs: What is bound to each parameter: the name of a value, or a constant. Several for variadic parameters.
        outputs: Names and types.
    """

    kind: str
    inputs: dict[str, tuple[str | Value, ...]]
    outputs: tuple[tuple[str, Type], ...]


@dataclass(frozen=True)
class Program:
    """The main function of an ML Program: inputs with their types, operations in order, names of the outputs."""

    inputs: dict[str, Type]
    operations: tuple[Operation, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Feature:
    """An input as an application sees it.

    Attributes:
        name: Its name.
        kind: ``image`` or ``tensor``, or ``other``.
        colours: ``rgb``, ``bgr`` or ``grey`` for images.
        shape: Of a tensor; (height, width) of an image. The default one where there are several.
        shapes: All that are enumerated; empty where there is one.
    """

    name: str
    kind: str
    colours: str | None
    shape: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Model:
    """A model specification.

    Attributes:
        version: The specification's version: 6 is iOS 15, 7 iOS 16, 8 iOS 17, 9 iOS 18.
        inputs: As an application sees them.
        metadata: The user-defined metadata.
        program: The ML Program.
    """

    version: int
    inputs: tuple[Feature, ...]
    metadata: dict[str, str]
    program: Program


def read_model(data: bytes) -> Model:
    """Reads a model specification.

    Raises:
        ValueError: It is damaged, or no ML Program; the message says which.
    """
    model = Message(data)
    body = model.message(ML_PROGRAM)
    if body is None:
        others = [number for number in model.numbers() if number >= FIRST_KIND]
        if not others:
            raise ValueError("it holds no model")
        name = KINDS.get(others[0], f"model type {others[0]}")
        raise ValueError(f"it is a {name}, not an ML Program")
    description = model.message(2) or Message(b"")
    metadata = description.message(100) or Message(b"")
    return Model(
        version=model.integer(1),
        inputs=tuple(map(_feature, description.messages(1))),
        metadata={entry.text(1): entry.text(2) for entry in metadata.messages(100)},
        program=_program(body),
    )


def _feature(message: Message) -> Feature:
    kind = message.message(3) or Message(b"")
    image, array = kind.message(4), kind.message(5)
    if image is not None:
        sizes = tuple(map(_image_size, _listed(image)))
        return Feature(message.text(1), "image", COLOURS.get(image.integer(3)), _image_size(image), sizes)
    if array is None:
        return Feature(message.text(1), "other", None, ())
    shapes = tuple(tuple(shape.integers(1)) for shape in _listed(array))
    return Feature(message.text(1), "tensor", None, tuple(array.integers(1)), shapes)


def _listed(kind: Message) -> list[Message]:
    """The enumerated shapes of an array, or sizes of an image."""
    listed = kind.message(21)
    return [] if listed is None else list(listed.messages(1))


def _image_size(message: Message) -> tuple[int, int]:
    return message.integer(2), message.integer(1)


def _program(message: Message) -> Program:
    functions = dict(message.entries(2))
    if "main" not in functions:
        raise ValueError("the ML Program has no function 'main'")
    main = functions["main"]
    opset = main.text(2)
    blocks = dict(main.entries(3))
    if opset not in blocks:
        raise ValueError(f"the ML Program has no block for its opset {opset!r}")
    block = blocks[opset]
    return Program(
        inputs=dict(map(_named, main.messages(1))),
        operations=tuple(map(_operation, block.messages(3))),
        outputs=tuple(name.decode() for name in block.all(2)),
    )


def _named(message: Message) -> tuple[str, Type]:
    return message.text(1), _type(message.message(2) or Message(b""))


def _type(message: Message) -> Type:
    tensor = message.message(1)
    if tensor is None:
        return Type(LIST if message.has(2) else DICTIONARY if message.has(4) else "unknown")
    number = tensor.integer(1)
    shape = tuple(_dimension(dimension) for dimension in tensor.messages(3))
    if len(shape) > MAX_RANK:
        raise ValueError(f"a tensor has {len(shape)} dimensions")
    return Type(DTYPES.get(number, f"type {number}"), shape)


def _dimension(message: Message) -> int | None:
    constant = message.message(1)
    if constant is None:
        return None
    size = constant.integer(1)
    if not 0 <= size <= MAX_ELEMENTS:
        raise ValueError(f"a dimension is {size}")
    return size


def _operation(message: Message) -> Operation:
    kind = message.text(1)
    if message.has(4):
        raise ValueError(f"the operator {kind} holds blocks of its own, which are not supported")
    inputs: dict[str, tuple[str | Value, ...]] = {
        name: tuple(map(_binding, argument.messages(1))) for name, argument in message.entries(2)
    }
    # Constants of `const` and of the constexpr operators are attributes.
    attributes: dict[str, tuple[str | Value, ...]] = {
        name: (_value(value),) for name, value in message.entries(5) if name != "name"
    }
    return Operation(kind, {**attributes, **inputs}, tuple(map(_named, message.messages(3))))


def _binding(message: Message) -> str | Value:
    value = message.message(2)
    return message.text(1) if value is None else _value(value)


def _value(message: Message) -> Value:
    kind = _type(message.message(2) or Message(b""))
    blob, immediate = message.message(5), message.message(3)
    if blob is not None:
        return Value(kind, BlobReference(blob.text(1), blob.integer(2)))
    if immediate is None:
        raise ValueError("a constant has no value")
    tensor, items = immediate.message(1), immediate.message(3)
    if tensor is not None:
        return Value(kind, _tensor(tensor, kind))
    if items is not None:
        return Value(kind, _texts(items))
    raise ValueError("a constant is neither a tensor nor a list")


def _texts(items: Message) -> tuple[str, ...]:
    """A list of classes; numbers become text."""
    texts = []
    for message in items.messages(1):
        content = _value(message).content
        if isinstance(content, BlobReference | tuple):
            raise ValueError("a list holds something else than texts and numbers")  # noqa: TRY004 - as above
        texts.append(content if isinstance(content, str) else str(content.item()))
    return tuple(texts)


def _tensor(message: Message, kind: Type) -> Content:
    if kind.dtype == "string":
        inner = message.message(4)
        texts = [text.decode() for text in inner.all(1)] if inner else []
        return texts[0] if len(texts) == 1 and kind.shape == () else tuple(texts)
    return _flat(message, kind.dtype).reshape(closed(kind))


def _flat(message: Message, dtype: str) -> NDArray[np.generic]:
    floats, integers, booleans, longs, doubles, raw = (message.message(number) for number in (1, 2, 3, 5, 6, 7))
    if floats is not None:
        return np.frombuffer(b"".join(floats.all(1)), "<f4").astype(dtype)
    if doubles is not None:
        return np.frombuffer(b"".join(doubles.all(1)), "<f8").astype(dtype)
    if raw is not None:
        return np.frombuffer(b"".join(raw.all(1)), np.dtype(dtype).newbyteorder("<")).astype(dtype)
    for numbers in (integers, longs, booleans):
        if numbers is not None:
            # Negative numbers are written as unsigned ones of 64 bits.
            return np.array(numbers.integers(1), np.uint64).astype(np.int64).astype(dtype)
    return np.zeros(0, dtype)


def closed(kind: Type) -> tuple[int, ...]:
    """The shape of a type without open dimensions.

    Raises:
        ValueError: A dimension is open, or the tensor larger than 2**31 values.
    """
    sides = tuple(side for side in kind.shape if side is not None)
    if len(sides) != len(kind.shape):
        raise ValueError("a constant has an open dimension")
    count = math.prod(sides)
    if count > MAX_ELEMENTS:
        raise ValueError(f"a constant has {count} values")
    return sides
