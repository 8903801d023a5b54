"""The Pareto picture of layer groups: noise that their integers add against time that they save."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dmformer.errors import UsageError
from dmformer.evaluation.report.charts import require_matplotlib
from dmformer.files import check_output, marked, utf8_name, write_output

if TYPE_CHECKING:
    from dmformer.calibration.sensitivity import Sensitivity

SUFFIXES = {".svg": "Creator", ".png": "Software", ".pdf": "Creator"}
"""Each kind of picture, and the field of it that names the program."""
MARK = "dmformer sensitivity"
OPTION = "--picture"
NAMED = 8
"""Units with the most noise are named in the picture; all are in the table."""


def draw_sensitivity(results: Sequence[Sensitivity], title: str, path: Path) -> None:
    """Draws the picture into a file.

    Args:
        results: What `measure_sensitivity` gave.
        title: Model and runtime.
        path: Ends in .svg, .png or .pdf.

    Raises:
        UsageError: Another suffix.
        MissingBackendError: matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    check_picture(path)
    from matplotlib.figure import Figure

    from dmformer.calibration.sensitivity import pareto  # needs onnx, which the device side has not got

    figure = Figure(figsize=(7.5, 4.8), layout="constrained", dpi=120)
    axes = figure.add_subplot()
    front = {one.unit for one in pareto(results)}
    for one in results:
        colour, filled = "#0b6e99" if one.unit in front else "#b0b0b0", "full" if one.planned == "int8" else "none"
        axes.plot(one.saved_ms, one.noise * 100, "o", color=colour, fillstyle=filled, markersize=6)
    for one in sorted(results, key=lambda one: -one.noise)[:NAMED]:
        axes.annotate(one.unit, (one.saved_ms, one.noise * 100), textcoords="offset points", xytext=(6, 4), fontsize=8)
    axes.axhline(0, color="#808080", linewidth=0.8)
    axes.axvline(0, color="#808080", linewidth=0.8)
    axes.set(title=title, xlabel="time saved by INT8, ms", ylabel="noise added by INT8, % of the logits' energy")
    axes.text(1, 0, "hollow: the plan keeps it in float", transform=axes.transAxes, ha="right", va="bottom", fontsize=7)
    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix[1:], metadata={SUFFIXES[path.suffix]: MARK})
    write_output(path, drawn.getvalue(), marked(MARK), None, option=OPTION)


def check_picture(path: Path, inputs: Sequence[Path] = ()) -> None:
    """Fails before any work where the picture could not be drawn; raises as `draw_sensitivity` does."""
    utf8_name(path, f"choose another {OPTION}")
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: no kind of picture that is known", f"use one of {', '.join(SUFFIXES)}")
    require_matplotlib()
    check_output(path, marked(MARK), None, inputs, option=OPTION)
