"""``dmformer inspect --sensitivity``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmformer.errors import UsageError

if TYPE_CHECKING:
    from dmformer.model.checkpoint import Checkpoint
    from dmformer.pipeline.options import ExportOptions

GRANULARITIES = ("stage", "block")


def describe_sensitivity(
    weights: Checkpoint | None, options: ExportOptions, granularity: str, picture: Path | None
) -> dict[str, Any]:
    """Measures what each layer group's integers cost and save, and draws the picture if one is wanted."""
    from dmformer.cli.output import TerminalProgress
    from dmformer.pipeline.studies import study_sensitivity
    from dmformer.pipeline.trial import run_by

    if granularity not in GRANULARITIES:
        raise UsageError(f"there is no granularity {granularity!r}", f"choose from: {', '.join(GRANULARITIES)}")
    if picture is not None:
        from dmformer.evaluation.report.sensitivity_picture import check_picture, draw_sensitivity

        check_picture(picture)
    found = study_sensitivity(weights, options, granularity, TerminalProgress())
    target = options.targets[0]
    measured_in = run_by(target)
    if picture is not None:
        draw_sensitivity(found, f"INT8 sensitivity by layer group, {target}, measured in {measured_in}", picture)
    return {
        "target": target,
        "measured_in": measured_in,
        "units": [asdict(one) for one in found],
        "picture": str(picture) if picture else None,
    }


def show_sensitivity(document: dict[str, Any]) -> None:
    """The table, most noise per saved millisecond first."""
    from dmformer.cli.output import console, escaped, table

    grid = table(
        f"What INT8 for {escaped(document['target'])} costs and saves, "
        f"measured in {escaped(document['measured_in'])}, one unit put back to float at a time",
        "unit", ">noise added, % of energy", ">time saved, ms", ">noise per ms",
    )  # fmt: skip
    for unit in document["units"]:
        noise, saved = unit["noise"] * 100, unit["saved_ms"]
        worth = f"{noise / saved:.4f}" if saved > 0 else "float is faster"
        grid.add_row(escaped(unit["unit"]), f"{noise:.4f}", f"{saved:.3f}", escaped(worth))
    console().print(grid)
    if document["picture"]:
        console().print(f"picture: {escaped(document['picture'])}")
