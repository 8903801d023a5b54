"""``dmformer compare``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmformer.cli.declare import Command
from dmformer.pipeline.requests import CompareOptions

if TYPE_CHECKING:
    from dmformer.evaluation.latency.comparison import CompareDocument


def show(document: CompareDocument) -> None:
    """The changes for people."""
    from dmformer.cli.bench_tables import print_lines
    from dmformer.cli.output import console, escaped, number, table
    from dmformer.evaluation.latency.document import NO_DEVICE

    title = next((change.headline for change in document.changes if change.headline), "accuracy")
    grid = table(None, "Candidate", ">before ms", ">after ms", ">time", ">99 % interval", f">{title} lost", "verdict")
    for change in document.changes:
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
    for change in document.changes:
        print_lines(tuple(f"{change.name}: {reason}" for reason in change.reasons), "[red]✗[/red]")
    print_lines(document.notes, "[dim]•[/dim]")


COMPARE = Command(
    "compare",
    CompareOptions,
    "dmformer.pipeline.comparing:compare",
    show,
    """Check that a later measurement is neither slower nor less accurate than an earlier one.

    Exit code 0: within tolerance. 1: something is surely slower (the whole 99 % interval is beyond the tolerance) or
    less accurate. 2: wrong input.
    """,
    (
        ("dmformer compare release.json today.json", "a gate for CI: exit code 1 when something became slower"),
        ("dmformer compare A.json B.json --tolerance 0.02 --max-drop 0.05", "a stricter one"),
    ),
)
