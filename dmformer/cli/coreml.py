"""Options of Core ML packages."""

from __future__ import annotations

import re
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
Sizes = Annotated[
    str | None,
    typer.Option(
        "--sizes",
        help="Sizes that it takes besides --imgsz, as 192,256x320 (height x width).",
        show_default="none",
        rich_help_panel=COREML,
    ),
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


def parse_sizes(text: str) -> tuple[tuple[int, int], ...]:
    """Heights and widths from ``192,256x320``.

    Raises:
        UsageError: It is no such list.
    """
    if not re.fullmatch(r"\d{1,5}(x\d{1,5})?(,\d{1,5}(x\d{1,5})?)*", text):
        raise UsageError(f"--sizes {text[:80]!r} is no list of sizes", "give it as 192,256x320")
    sides = [[int(side) for side in name.split("x")] for name in text.split(",")]
    return tuple((one[0], one[-1]) for one in sides)


def coreml_options(**given: Any) -> dict[str, object]:
    """The options as the library takes them; switches that are off stand for the default.

    Raises:
        UsageError: The sizes are none.
    """
    asked = {name: value for name, value in given.items() if value not in (None, False)}
    if "sizes" in asked:
        asked["sizes"] = parse_sizes(str(asked["sizes"]))
    if asked.pop("w8a16", False):
        asked["int8"] = "w8a16"
    return asked
