"""Options of INT8 that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dmformer.errors import UsageError

if TYPE_CHECKING:
    from dmformer.pipeline.options import Int8Options

INT8 = "INT8"
METHODS = ("minmax", "percentile", "mse", "entropy")

Calibration = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        help="Images to calibrate with, without labels. Default: the embedded ones for the embedded checkpoint, "
        "otherwise those of --data.",
        show_default=False,
        rich_help_panel=INT8,
    ),
]
Images = Annotated[int, typer.Option("--images", min=1, help="How many calibration images.", rich_help_panel=INT8)]
MethodOption = Annotated[
    str, typer.Option("--method", help="Ranges by minmax, percentile, mse or entropy.", rich_help_panel=INT8)
]
CpuIsa = Annotated[
    str | None,
    typer.Option(
        "--cpu-isa",
        help="Instruction set of the CPU that will run it: amx, avx512-vnni, avx2-vnni, avx512, avx2, arm64-i8mm, "
        "arm64-dotprod or arm64.",
        show_default="this machine's",
        rich_help_panel=INT8,
    ),
]
RangesFile = Annotated[
    Path | None,
    typer.Option("--ranges", help="Ranges that dmformer calibrate wrote.", show_default=False, rich_help_panel=INT8),
]
PlanFile = Annotated[
    Path | None,
    typer.Option(
        "--plan", help="Precision by layer group, as JSON; no other plan is searched.", show_default=False,
        rich_help_panel=INT8,
    ),
]  # fmt: skip
AllowRandom = Annotated[
    bool,
    typer.Option(
        "--allow-random-calibration",
        help="Calibrate on random numbers, where only speed matters.",
        rich_help_panel=INT8,
    ),
]
UseCache = Annotated[
    bool, typer.Option("--cache/--no-cache", help="Reuse ranges of the same weights and images.", rich_help_panel=INT8)
]


def int8_options(**given: Any) -> Int8Options:
    """The options as the library takes them.

    Raises:
        UsageError: A method or an instruction set that is not known.
    """
    from dmformer.pipeline.options import CPU_ISAS, Int8Options

    if given["method"] not in METHODS:
        raise UsageError(f"there is no calibration method {given['method']!r}", f"choose from: {', '.join(METHODS)}")
    if given.get("cpu_isa") is not None and given["cpu_isa"] not in CPU_ISAS:
        raise UsageError(
            f"CPU instruction set {given['cpu_isa']!r} is not known", f"choose from: {', '.join(CPU_ISAS)}"
        )
    return Int8Options(**given)
