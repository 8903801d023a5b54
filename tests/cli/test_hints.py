"""Every command and option that dmformer names exists; `tests.support.invoke` asks the same of each hint."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT, options_of, unknown_options

OTHER_PROGRAMS = (
    "embedding", "jetson.py", "trtexec.py", "host.py", "charts.py", "sections.py", "wheels.py", "environment.py",
    "rails.py",
)  # fmt: skip
"""Files that hold options of CMake, tegrastats, trtexec, nvidia-smi and pip, and variables of style sheets."""
COMMAND_LINE = re.compile(r"dmformer ([a-z]+) ((?:[A-Z.]+ )*)(--[^`;()]*)")


def texts(path: Path) -> Iterator[str]:
    """The texts of a module that are no docstrings, with a placeholder for what is put into them."""
    tree = ast.parse(path.read_text())
    inner = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    inner |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inner:
            yield node.value


@pytest.mark.parametrize("room", sorted(path.name for path in (ROOT / "dmformer").iterdir() if path.name[0] != "_"))
def test_what_the_texts_name_exists(room: str) -> None:
    place = ROOT / "dmformer" / room
    files = [place] if place.suffix == ".py" else place.rglob("*.py")
    for path in files:
        if set(path.parts).intersection(OTHER_PROGRAMS):
            continue
        for text in texts(path):
            plain = " ".join(text.split())
            assert text in {"--verbose", "--version"} or not unknown_options(f"how to mend it: {plain}"), (path, text)
            for command, _, rest in COMMAND_LINE.findall(text):
                assert command in options_of(), (path, text)
                assert not unknown_options(f"how to mend it: {rest}", command), (path, text)
