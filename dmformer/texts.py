"""Text that is safe to print: of labels, names, versions and notes that come from files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

REVERSING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Controls that let text around them be shown in another order."""
MAX_TEXT = 1024
MESSAGE = 1000
"""Characters of an error message or hint: names of files may be long, quoted contents endless."""
SHOWN = 5
"""Names in one message; the others are counted."""
MAX_FACT, MAX_FACTS = 60, 320
"""Characters of one fact, and of all, where something shows itself: this project's choice."""
MAX_DEPTH = 32
"""Of a document that is read: far more than any of ours has."""


def unsafe(char: str) -> bool:
    """Whether a character may reach a terminal as a command: controls, line breaks, lone surrogates, reversals."""
    return unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in REVERSING


def is_plain(text: str) -> bool:
    """Whether text is safe to print on a line."""
    return not any(map(unsafe, text)) if not (text.isascii() and text.isprintable()) else True


def plain(text: str, most: int = MAX_TEXT) -> str:
    """Text that is safe to print on a line, of at most so many characters; the rest is replaced."""
    short = text if len(text) <= most else text[: most - 1] + "\u2026"
    return short if is_plain(short) else "".join("\ufffd" if unsafe(char) else char for char in short)


def brief(name: str, facts: Mapping[str, object]) -> str:
    """What a ``repr`` shows of something large: each of its facts shortened, and no more of them than fit."""
    shown = [f"{key}={_cut(repr(value), MAX_FACT)}" for key, value in facts.items()]
    return f"{name}({_cut(', '.join(shown), MAX_FACTS)})"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def printable(text: str) -> str:
    """Text in which nothing steers a terminal: control characters, lone surrogates and the like are replaced."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def one_line(text: str, most: int = MESSAGE) -> str:
    """A message as one printable line of bounded length: of an endless one the middle is left out."""
    line = printable(" ".join(text.split()))
    half = most // 2
    return line if len(line) <= most else f"{line[:half]} [...] {line[-half:]}"


def listed(names: Iterable[str], most: int = SHOWN) -> str:
    """The first few names, quoted, and how many there are beside."""
    shown = list(names)
    return ", ".join(repr(name) for name in shown[:most]) + (", ..." if len(shown) > most else "")


def plain_document(value: Any) -> Any:
    """A JSON document with every text in it, keys too, safe to print."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {plain(key): plain_document(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_document(item) for item in value]
    return value


def first_problem(error: ValidationError) -> str:
    """What pydantic refused first, and where: one short line that is safe to print."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))[:200]
    return plain(": ".join(filter(None, (where, first["msg"].removeprefix("Value error, ")[:300]))))


def problem_in(document: Any) -> str | None:
    """What is wrong with the texts of a JSON document that somebody else wrote, or None: one short line."""
    level = [document]
    for _ in range(MAX_DEPTH):
        texts = [value for value in level if isinstance(value, str)]
        texts += [key for value in level if isinstance(value, dict) for key in value]
        for text in texts:
            if len(text) > MAX_TEXT:
                return f"a text of {len(text)} characters ({text[:20]!a}...): {MAX_TEXT} are allowed"
            if not is_plain(text):
                return f"control characters in a text ({text[:40]!a})"
        inner = [value for value in level if isinstance(value, dict | list)]
        level = [item for value in inner for item in (value.values() if isinstance(value, dict) else value)]
        if not level:
            return None
    return f"it is nested more than {MAX_DEPTH} deep"


def safe_name(text: str) -> str:
    """A name that is safe as a part of a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:80] or "dmformer"
