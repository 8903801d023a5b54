"""Text from a checkpoint or a manifest in what is generated: one function for each place that it may go to.

Whatever the text holds, what comes out is one line, and reads back in its place as that text; a lone surrogate, which
is no text, becomes a replacement character where the place has none. HTML needs no function: the page's scripts set
texts, never markup.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import Any
from urllib.parse import quote

PRINTABLE = frozenset(map(chr, range(32, 127)))
REPLACEMENT = 0xFFFD
SHORT = 4
"""A longer tuple has a line for each item."""


def markdown(text: str) -> str:
    """A name in a sentence or a heading; what Markdown, or HTML in it, would take for its own becomes an underscore."""
    return re.sub(r"[^\w .+-]", "_", text)


def shell(text: str) -> str:
    """One word of a command, for bash and zsh; no line break in it ends the line or the code block around it.

    Args:
        text: Without NUL, which no argument can hold.
    """
    if PRINTABLE.issuperset(text):
        return shlex.quote(text)
    return "$'" + "".join(_octal(byte, b"\\'") for byte in text.encode(errors="replace")) + "'"


def cpp(text: str) -> str:
    """A C++ string literal of UTF-8. A question mark is written in octal, or two would begin a trigraph."""
    return '"' + "".join(_octal(byte, b'"\\?') for byte in text.encode(errors="replace")) + '"'


def swift(text: str) -> str:
    """A Swift string literal in ASCII: a backslash in the text begins no interpolation."""
    plain = PRINTABLE - set('"\\')
    return '"' + "".join(letter if letter in plain else f"\\u{{{_scalar(letter):X}}}" for letter in text) + '"'


def javascript(value: Any) -> str:
    """A JavaScript expression in ASCII: JSON."""
    return json.dumps(value, indent=2, allow_nan=False)


def python(value: Any) -> str:
    """A Python literal in ASCII."""
    if isinstance(value, tuple) and len(value) > SHORT:
        return "(\n" + "".join(f"    {item!a},\n" for item in value) + ")"
    return ascii(value)


def url(path: str) -> str:
    """A relative URL of a file: a question mark or a hash in its name is a part of the name."""
    return quote(path, errors="replace")


def _octal(byte: int, special: bytes) -> str:
    return chr(byte) if chr(byte) in PRINTABLE and byte not in special else f"\\{byte:03o}"


def _scalar(letter: str) -> int:
    return REPLACEMENT if 0xD800 <= ord(letter) < 0xE000 else ord(letter)
