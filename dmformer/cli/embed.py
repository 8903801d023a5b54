"""``dmformer embed``: a project in the application's language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmformer.cli.declare import Command
from dmformer.pipeline.requests import EmbedOptions

if TYPE_CHECKING:
    from dmformer.pipeline.embedding import EmbedDocument


def show(document: EmbedDocument) -> None:
    """Where the project is and what to type next, on stderr."""
    from dmformer.cli.output import console, escaped, size_text

    out = console()
    facts = f"{document.language}, {document.target}, {document.files} files, {size_text(document.bytes)}"
    out.print(f"written: [bold]{escaped(document.path)}[/bold] ({escaped(facts)})\n\nnext, there:")
    for step in document.steps:
        out.print(f"  {escaped(step.command)}  [dim]# {escaped(step.why)}[/dim]")


EMBED = Command(
    "embed",
    EmbedOptions,
    "dmformer.pipeline.embedding:embed",
    show,
    "Write a small project around an engine: preprocessing, labels, golden samples and a self-test. Needs no torch.",
    (
        ("dmformer embed build/best-openvino-fp32 --lang cpp --output classifier", "a C++ project around that engine"),
        ("dmformer embed BUNDLE --lang cpp --output classifier --force", "again, after another export"),
    ),
)
