"""A protobuf message as fields by number, whatever its schema; what is hostile is a `ValueError`."""

from __future__ import annotations

from collections.abc import Iterator

from dmformer.runtimes.inspection.onnx_wire import fields


class Message:
    """One message: its fields by number, in order."""

    def __init__(self, data: bytes) -> None:
        self._fields: dict[int, list[int | bytes]] = {}
        for number, value in fields(data):
            self._fields.setdefault(number, []).append(value)

    def all(self, number: int) -> list[bytes]:
        found = self._fields.get(number, [])
        if any(isinstance(value, int) for value in found):
            raise ValueError(f"field {number} is a number where a message is expected")
        return [value for value in found if isinstance(value, bytes)]

    def messages(self, number: int) -> Iterator[Message]:
        return (Message(data) for data in self.all(number))

    def message(self, number: int) -> Message | None:
        found = self.all(number)
        return Message(b"".join(found)) if found else None

    def text(self, number: int) -> str:
        found = self.all(number)
        return found[-1].decode() if found else ""

    def integer(self, number: int) -> int:
        found = self._fields.get(number, [0])[-1]
        if not isinstance(found, int):
            raise ValueError(f"field {number} is no number")  # noqa: TRY004 - of the file, not of an argument
        return found

    def has(self, number: int) -> bool:
        return number in self._fields

    def numbers(self) -> list[int]:
        return list(self._fields)

    def integers(self, number: int) -> list[int]:
        """A repeated number, packed or not."""
        found: list[int] = []
        for value in self._fields.get(number, []):
            found += [value] if isinstance(value, int) else _packed(value)
        return found

    def entries(self, number: int) -> Iterator[tuple[str, Message]]:
        """A map from text to messages."""
        for entry in self.messages(number):
            yield entry.text(1), entry.message(2) or Message(b"")


def _packed(data: bytes) -> list[int]:
    values, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if shift > 70:
            raise ValueError("a packed number is too long")
        if byte < 0x80:
            values.append(value)
            value = shift = 0
    if shift:
        raise ValueError("a packed number ends early")
    return values
