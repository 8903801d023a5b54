"""Options that several commands share, declared once, and the parsing of their values."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from dmformer.errors import UsageError

TOLERANCE, IMAGES, GRAPH, WEIGHTS = "Tolerance", "Images", "Graph", "Weights"
"""Panels of the help."""

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
ForceFile = Annotated[
    bool, typer.Option("--force", help="Replace a file that exists, though dmformer did not make it.")
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Labelled images to verify on: a folder with class subfolders, a flat folder, .npz, or an IDX file. "
        "Default: the embedded test set, where the embedded checkpoint is used.",
        rich_help_panel=IMAGES,
        show_default=False,
    ),
]
MaxImages = Annotated[
    int | None,
    typer.Option(
        "--max-images", min=1, help="Verify on at most this many images.", rich_help_panel=IMAGES, show_default=False
    ),
]
Threads = Annotated[
    int, typer.Option("--threads", min=0, max=1024, help="Threads inside an inference; 0: the runtime's choice.")
]
Device = Annotated[str, typer.Option("--device", help="Device to run on.")]
MaxError = Annotated[
    float | None,
    typer.Option(
        "--max-error",
        help="Largest difference of a logit, relative to the largest logit.",
        rich_help_panel=TOLERANCE,
        show_default=False,
    ),
]
MinAgreement = Annotated[
    float | None,
    typer.Option(
        "--min-agreement",
        min=0,
        max=1,
        help="Smallest share of equal top-1.",
        rich_help_panel=TOLERANCE,
        show_default=False,
    ),
]
MinSqnr = Annotated[
    float | None,
    typer.Option(
        "--min-sqnr",
        help="Smallest signal to quantization noise ratio, dB.",
        rich_help_panel=TOLERANCE,
        show_default=False,
    ),
]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        "--max-drop",
        help="Largest loss of top-1, percentage points.",
        rich_help_panel=TOLERANCE,
        show_default=False,
    ),
]


NVIDIA = "NVIDIA"
Workspace = Annotated[
    float | None,
    typer.Option(
        "--workspace",
        help="GiB of scratch memory for the builder.",
        rich_help_panel=NVIDIA,
        show_default="the library's choice",
    ),
]
OptLevel = Annotated[
    int | None,
    typer.Option(
        "--opt-level", min=0, max=5, help="0: fast build, 5: fast engine.", rich_help_panel=NVIDIA, show_default="3"
    ),
]
MinBatch = Annotated[
    int | None,
    typer.Option(
        "--min-batch", min=1, help="Smallest batch of an open one.", rich_help_panel=NVIDIA, show_default=False
    ),
]
OptBatch = Annotated[
    int | None,
    typer.Option("--opt-batch", min=1, help="The batch to tune for.", rich_help_panel=NVIDIA, show_default=False),
]
MaxBatch = Annotated[
    int | None,
    typer.Option(
        "--max-batch", min=1, help="Largest batch of an open one.", rich_help_panel=NVIDIA, show_default=False
    ),
]
Portable = Annotated[
    bool,
    typer.Option("--portable", help="An engine for other versions and later GPUs; slower.", rich_help_panel=NVIDIA),
]
ComputeCapability = Annotated[
    list[str] | None,
    typer.Option(
        "--compute-capability",
        help="A GPU to build for ahead of time, as 8.6; may be given several times (tensorrt-rtx).",
        rich_help_panel=NVIDIA,
        show_default="8.0, 8.6, 8.9, 12.0 and later",
    ),
]
Dla = Annotated[
    int | None,
    typer.Option(
        "--dla", min=0, help="Core of the deep learning accelerator (Orin).", rich_help_panel=NVIDIA, show_default=False
    ),
]
TimingCacheFile = Annotated[
    Path | None,
    typer.Option(
        "--timing-cache",
        help="File with the builder's timings.",
        rich_help_panel=NVIDIA,
        show_default="in the user's cache",
    ),
]


def refuse_idle(context: typer.Context, groups: Collection[str], why: str, hint: str) -> None:
    """Refuses options that were typed though nothing reads them: who types one expects something of it.

    Args:
        context: Of the command.
        groups: Panels of the help, all options in which are meant, and names of parameters.
        why: What is said behind the option's name.
        hint: How to mend it.

    Raises:
        UsageError: Names the first of them that was typed.
    """
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        meant = name in groups or getattr(parameter, "rich_help_panel", None) in groups
        if meant and source is not None and source.name == "COMMANDLINE":
            flag = "/".join((*parameter.opts[:1], *parameter.secondary_opts[:1]))
            raise UsageError(f"{flag} {why}", hint)


def refuse_without(context: typer.Context, switch: str, *groups: str) -> None:
    """Refuses options that do nothing without a switch; see `refuse_idle`."""
    refuse_idle(context, groups, f"does nothing without {switch}", f"add {switch}, or leave it out")


def parse_size(values: list[int] | None) -> tuple[int, int] | None:
    """``--imgsz 224`` or ``--imgsz 224 --imgsz 320`` (height, width).

    Raises:
        UsageError: More than two sides.
    """
    if not values:
        return None
    if len(values) > 2:
        raise UsageError(f"--imgsz was given {len(values)} times", "give one side of a square, or height and width")
    return (values[0], values[-1])
