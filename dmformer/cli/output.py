"""What commands print: human text on stderr and one JSON document on stdout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dmformer.terminal import console as console  # noqa: PLC0414 - the commands take it from here
from dmformer.texts import printable

if TYPE_CHECKING:
    from rich.table import Table

    from dmformer.pipeline.fleet import Failure

BRACKET = re.compile(r"(\\*)\[(?=([a-z#/@][^[]*?\])?)")
"""A bracket, the backslashes before it, and what makes a mark of it (rich/markup.py)."""


def escaped(text: str) -> str:
    """Text from a file or a path, in which brackets are no markup and nothing steers the terminal.

    What rich's own `escape` makes of a backslash before a bracket that begins no mark loses the backslash.
    """
    line = BRACKET.sub(lambda match: match[1] * (2 if match[2] else 1) + "\\[", printable(text))
    # Before a closing mark of ours it would take that mark's meaning away.
    return line + "\\" * ((len(line) - len(line.rstrip("\\"))) % 2)


def table(title: str | None, *columns: str) -> Table:
    """An empty table in the house style; columns whose name begins with ``>`` are right-aligned."""
    from rich import box
    from rich.table import Table

    grid = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        # Names end in what tells them apart: they are folded, never cut. Figures stay whole.
        grid.add_column(column.removeprefix(">"), justify="right" if right else "left", overflow="fold", no_wrap=False)
    return grid


def size_text(count: float) -> str:
    """Bytes in binary units."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def number(value: float | None, pattern: str = "{:.2f}") -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None else pattern.format(value)


def print_failures(name: str, failures: Sequence[Failure]) -> None:
    """Why a device could not answer."""
    for failure in failures:
        said = failure.message if failure.message.startswith(name) else f"{name}: {failure.message}"
        console().print(f"[red]✗[/red] {escaped(said)}")
        if failure.hint:
            console().print(f"  how to mend it: {escaped(failure.hint)}")


def print_summaries(records: Sequence[dict[str, Any]], devices: Sequence[str] = ()) -> None:
    """The table of finished bundles, and one line for each that failed.

    Args:
        records: See `dmformer.summary.summarize`.
        devices: Where each was verified, where that was elsewhere.
    """
    from dmformer.tasks.registry import figures_of

    headline = next((figure for record in records for figure in figures_of(record["task"])), None)
    title = f">{headline.title}" if headline else ">accuracy"
    on = [f"{name}: " for name in devices] or [""] * len(records)
    grid = table(None, "", "engine", ">size", title, ">PyTorch", ">agreement", ">SQNR dB", ">max error")
    for name, record in zip(on, records, strict=True):
        score = record["figures"].get(headline.key, {}) if headline else {}
        equal = record["sqnr_db"] is None and record["max_abs_error"] is not None
        grid.add_row(
            "[green]✓[/green]" if record["verified"] else "[red]✗[/red]",
            escaped(f"{name}{record['target']} {record['named']}"),
            size_text(record["engine_bytes"]),
            number(score.get("engine")),
            number(score.get("reference")),
            number(record["agreement"], "{:.2%}"),
            "equal" if equal else number(record["sqnr_db"], "{:.1f}"),
            number(record["max_abs_error"], "{:.1e}"),
        )
    out = console()
    out.print(grid)
    for name, record in zip(on, records, strict=True):
        ran = "its twin in ONNX Runtime" if record["verified_by"] == "twin" else record["executes"]
        verb = "was judged by" if record["verified_by"] == "twin" else "executes"
        facts = f"{record['target']} {verb} {ran}; {record['images']} images of {record['data']}"
        out.print(f"  {escaped(name + facts)}\n    -> [bold]{escaped(record['path'])}[/bold]")
        for failure in record["failures"]:
            out.print(f"    [red]✗[/red] {escaped(failure)}")
        for note in record["notes"]:
            out.print(f"    [dim]•[/dim] {escaped(note)}")
