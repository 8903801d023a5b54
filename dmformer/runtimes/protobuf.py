"""Protobuf's wire format, whatever the schema: fields by number. What is hostile is a `ValueError`."""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Message:
    """One message: its fields by number, in order."""

    def __init__(self, data: bytes) -> None:
        self._fields: dict[int, list[int | bytes]] = {}
        for number, value in fields(data):
            self._fields.setdefault(number, []).append(value)

    def all(self, number: int) -> list[bytes]:
        values = self._fields.get(number, [])
        if any(isinstance(value, int) for value in values):
            raise ValueError(f"field {number} is a number where a message is expected")
        return [value for value in values if isinstance(value, bytes)]

    def messages(self, number: int) -> Iterator[Message]:
        return (Message(data) for data in self.all(number))

    def message(self, number: int) -> Message | None:
        parts = self.all(number)
        return Message(b"".join(parts)) if parts else None

    def text(self, number: int) -> str:
        values = self.all(number)
        return values[-1].decode() if values else ""

    def integer(self, number: int) -> int:
        value = self._fields.get(number, [0])[-1]
        if not isinstance(value, int):
            raise ValueError(f"field {number} is no number")  # noqa: TRY004 - of the file, not of an argument
        return value

    def has(self, number: int) -> bool:
        return number in self._fields

    def numbers(self) -> list[int]:
        return list(self._fields)

    def integers(self, number: int) -> list[int]:
        """A repeated number, packed or not."""
        values: list[int] = []
        for value in self._fields.get(number, []):
            values += [value] if isinstance(value, int) else _packed(value)
        return values

    def entries(self, number: int) -> Iterator[tuple[str, Message]]:
        """A map from text to messages."""
        for entry in self.messages(number):
            yield entry.text(1), entry.message(2) or Message(b"")


def _packed(data: bytes) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(memoryview(data), at)
        values.append(value)
    return values


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
