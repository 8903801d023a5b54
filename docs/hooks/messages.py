"""Every message that dmformer raises on purpose, and how to mend it: read from the sources, so none is missing."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from dmformer import errors

PACKAGE = Path(errors.__file__).parent
KINDS = {
    name: (value.__doc__ or "").splitlines()[0]
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.DmformerError)
}
HEAD = """# Messages

What dmformer says when it cannot go on, by kind of error, and what to do. `…` stands for what differs: a file, a
value, a layer. Look a message up with the browser's search; for what has several causes see
[when something is wrong](../troubleshooting.md).
"""


@dataclass(frozen=True, order=True)
class Message:
    """One place that raises.

    Attributes:
        kind: The error's class.
        text: What it says.
        hint: How to mend it; empty where the message says it.
    """

    kind: str
    text: str
    hint: str


def messages() -> list[Message]:
    """All of them, sorted."""
    paths = (path for path in PACKAGE.rglob("*.py") if "templates" not in path.parts)
    return sorted({message for path in paths for message in _of(ast.parse(path.read_text(encoding="utf-8")))})


def _of(tree: ast.Module) -> Iterator[Message]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS and node.args:
            hints = [*node.args[1:2], *(each.value for each in node.keywords if each.arg == "hint")]
            said = _said(node.args[0])
            if re.search(r"\w{3}", said):
                yield Message(node.func.id, said, _said(hints[0]) if hints else "")


def _said(node: ast.expr) -> str:
    """The words of an expression, with ``…`` for what is known only when it is raised."""
    if isinstance(node, ast.Constant):
        return str(node.value) if node.value is not None else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_said, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _said(node.left) + _said(node.right)
    if isinstance(node, ast.IfExp):
        return " / ".join(said for said in (_said(node.body), _said(node.orelse)) if said)
    return "…"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds ``reference/messages.md``."""
    by_kind: dict[str, list[Message]] = defaultdict(list)
    for message in messages():
        by_kind[message.kind].append(message)
    lines = [HEAD]
    for kind, what in KINDS.items():
        if by_kind[kind]:
            lines += [f"## {kind}\n", f"{what}\n", "| message | how to mend it |", "|---|---|"]
            lines += [f"| {_cell(each.text)} | {_cell(each.hint)} |" for each in by_kind[kind]] + [""]
    files.append(File.generated(config, "reference/messages.md", content="\n".join(lines)))
    return files


def _cell(text: str) -> str:
    return re.sub(r"([<>|*_\[\]`$])", r"\\\1", " ".join(text.split()))
