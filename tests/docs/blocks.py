"""A page as what a reader types: its commands and programs in their order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.embedding.documents import typed

BLOCK = re.compile(
    r'(?:^<!-- not run: (?P<reason>[^\n]+) -->\n+)?^```(?P<kind>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
SHOWN = {"text", "json"}
"""What is to be looked at, not run."""


@dataclass(frozen=True)
class Block:
    """One block of a page.

    Attributes:
        kind: Its language.
        text: What it holds.
        title: The file that a reader makes of it, or None.
        reason: Why it is not run, or None.
    """

    kind: str
    text: str
    title: str | None
    reason: str | None

    def commands(self) -> list[str]:
        """The lines that a reader types.

        Raises:
            ValueError: Nobody runs blocks of this kind here.
        """
        if self.kind == "console":
            return typed(self.text.splitlines())
        if self.kind == "sh":
            return self.text.splitlines()
        raise ValueError(f"blocks of {self.kind} are not run")


def blocks_of(page: Path) -> list[Block]:
    """All blocks of a page that are to be run, or say why they are not."""
    matches = BLOCK.finditer(page.read_text(encoding="utf-8"))
    blocks = [Block(each["kind"], each["text"], each["title"], each["reason"]) for each in matches]
    return [block for block in blocks if block.kind not in SHOWN]
