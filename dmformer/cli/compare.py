"""``dmformer compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dmformer.cli import BELOW_TOLERANCE, options

if TYPE_CHECKING:
    from dmformer.evaluation.latency.comparison import Comparison

EXAMPLES = (
    ("dmformer compare release.json today.json", "a gate for CI: exit code 1 when something became slower"),
    ("dmformer compare A.json B.json --tolerance 0.02 --max-drop 0.05", "a stricter one"),
)


def compare(
    before: Annotated[Path, typer.Argument(help="The earlier report: JSON of bench.", show_default=False)],
    after: Annotated[Path, typer.Argument(help="The later one.", show_default=False)],
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, help="How much slower is allowed: 0.05 is 5 %.")
    ] = 0.05,
    max_drop: Annotated[
        float,
        typer.Option(
            "--max-drop", min=0, help="How much the headline figure (top-1) or agreement may fall, percentage points."
        ),
    ] = 0.1,
    json: options.Json = False,
) -> int:
    """Check that a later measurement is neither slower nor less accurate than an earlier one.

    Exit code 0: within tolerance. 1: something is surely slower (the whole 99 % interval is beyond the tolerance) or
    less accurate. 2: wrong input.
    """
    from dmformer.cli.output import print_json
    from dmformer.evaluation.latency.comparison import compare_documents
    from dmformer.evaluation.latency.document import read_document

    found = compare_documents(read_document(before), read_document(after), tolerance, max_drop)
    show(found)
    if json:
        print_json("dmformer.compare/2", found.to_json())
    return 0 if found.passed else BELOW_TOLERANCE


def show(found: Comparison) -> None:
    """The changes for people."""
    from dmformer.cli.bench_tables import print_lines
    from dmformer.cli.output import console, escaped, number, table
    from dmformer.evaluation.latency.document import NO_DEVICE

    title = next((change.headline for change in found.changes if change.headline), "accuracy")
    lost = f">{title} lost"
    grid = table(None, "Candidate", ">before ms", ">after ms", ">time", ">99 % interval", lost, "verdict")
    for change in found.changes:
        interval = change.interval
        grid.add_row(
            escaped(change.name),
            number(change.before_ms, "{:.3f}"),
            number(change.after_ms, "{:.3f}"),
            NO_DEVICE if change.ratio is None else f"{change.ratio - 1:+.1%}",
            f"{interval[0] - 1:+.1%} to {interval[1] - 1:+.1%}" if interval else "-",
            number(change.headline_drop),
            f"[red]{escaped(change.verdict)}[/red]" if change.failed else escaped(change.verdict),
        )
    console().print(grid)
    for change in found.changes:
        print_lines(tuple(f"{change.name}: {reason}" for reason in change.reasons), "[red]✗[/red]")
    print_lines(found.notes, "[dim]•[/dim]")
