"""``dmformer embed``: a project in the application's language."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dmformer.cli import options

if TYPE_CHECKING:
    from dmformer.embedding.project import Project

EXAMPLES = (
    ("dmformer embed build/best-openvino-fp32 --lang cpp --output classifier", "a C++ project around that engine"),
    ("dmformer embed BUNDLE --lang cpp --output classifier --force", "again, after another export"),
)


def embed(
    bundle: Annotated[Path, typer.Argument(help="A bundle: the directory that export made.", show_default=False)],
    lang: Annotated[str, typer.Option("--lang", "-l", help="Language of the application.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory to make.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Replace a project at --output.")] = False,
    json: options.Json = False,
) -> int:
    """Write a small project around an engine: preprocessing, labels, golden samples and a self-test. Needs no torch."""
    from dmformer.bundle import Bundle
    from dmformer.cli.output import print_json
    from dmformer.embedding.project import embed as make

    project = make(Bundle.load(bundle), lang, output, force)
    show(project)
    if json:
        print_json(
            "dmformer.embed/1",
            {
                "path": str(project.path),
                "language": project.language,
                "target": project.target,
                "files": project.files,
                "bytes": project.bytes,
                "commands": [step.command for step in project.steps],
            },
        )
    return 0


def show(project: Project) -> None:
    """Where the project is and what to type next, on stderr."""
    from dmformer.cli.output import console, escaped, size_text

    out = console()
    facts = f"{project.language}, {project.target}, {project.files} files, {size_text(project.bytes)}"
    out.print(f"written: [bold]{escaped(str(project.path))}[/bold] ({escaped(facts)})\n\nnext, there:")
    for step in project.steps:
        out.print(f"  {escaped(step.command)}  [dim]# {escaped(step.why)}[/dim]")
