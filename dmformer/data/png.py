"""PNG files whose pixels are whole, but for whose words Pillow refuses them."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import IO

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"})
"""The chunks that pixels and their orientation need (PNG specification, 11.2 and 11.3)."""
MAX_BYTES = 1 << 28
"""What a larger file says of itself is not looked through."""


def pixels_only(file: IO[bytes]) -> BytesIO | None:
    """The file without its text, colour profile and other chunks, of which Pillow takes a megabyte at most.

    Args:
        file: Opened; it is read from its beginning.

    Returns:
        None where it is no PNG, or more than `MAX_BYTES`.
    """
    file.seek(0)
    content = memoryview(file.read(MAX_BYTES + 1))
    if len(content) > MAX_BYTES or content[:8] != _SIGNATURE:
        return None
    kept, place = BytesIO(), len(_SIGNATURE)
    kept.write(_SIGNATURE)
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">L4s", content, place)
        if kind in _PIXELS:
            kept.write(content[place : place + length + 12])
        place += length + 12
    kept.seek(0)
    return kept
