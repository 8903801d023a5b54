"""Options of Core ML packages."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dmformer.errors import UsageError

COREML = "Core ML"

W8A16 = Annotated[
    bool,
    typer.Option(
        "--w8a16", help="INT8 for weights only (iOS 16); --int8 alone is W8A8 (iOS 17).", rich_help_panel=COREML
    ),
]
Classifier = Annotated[
    bool, typer.Option("--classifier", help="A label and probabilities besides the logits.", rich_help_panel=COREML)
]
TensorInput = Annotated[
    bool,
    typer.Option("--tensor-input", help="Take a preprocessed tensor, not an image.", rich_help_panel=COREML),
]
DeploymentTarget = Annotated[
    str | None,
    typer.Option(
        "--deployment-target",
        help="Oldest system: iOS15 to iOS18; raised where the precision needs a later one.",
        show_default="the oldest possible",
        rich_help_panel=COREML,
    ),
]
ComputeUnits = Annotated[
    str | None,
    typer.Option(
        "--compute-units",
        help="all, cpu, cpu-and-gpu or cpu-and-ne (the Neural Engine).",
        show_default="all",
        rich_help_panel=COREML,
    ),
]
Author = Annotated[
    str | None,
    typer.Option("--author", help="Goes into the package's metadata.", show_default=False, rich_help_panel=COREML),
]
License = Annotated[
    str | None,
    typer.Option("--license", help="Goes into the package's metadata.", show_default=False, rich_help_panel=COREML),
]


def coreml_options(targets: tuple[str, ...], **given: Any) -> dict[str, object]:
    """The options as the library takes them; switches that are off stand for the default.

    Raises:
        UsageError: They were given, and no Core ML package is made.
    """
    asked = {name: value for name, value in given.items() if value not in (None, False)}
    if asked and "coreml" not in targets:
        raise UsageError(f"--{next(iter(asked)).replace('_', '-')} belongs to Core ML packages", "add --target coreml")
    if asked.pop("w8a16", False):
        asked["int8"] = "w8a16"
    return asked
