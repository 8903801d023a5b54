"""What commands print: human text on stderr, one JSON document on stdout, a bar where somebody looks at it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from dmformer.texts import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

T = TypeVar("T")
BRACKET = re.compile(r"(\\*)\[(?=([a-z#/@][^[]*?\])?)")
"""A bracket, the backslashes before it, and what makes a mark of it (rich/markup.py)."""
LOG_WIDTH = 160
"""Columns where nobody looks at a terminal: tables are not cut there."""


def console() -> Console:
    """The terminal, on stderr; a log file is wide."""
    from rich.console import Console

    width = None if sys.stderr.isatty() else LOG_WIDTH
    return Console(stderr=True, highlight=False, emoji=False, soft_wrap=width is not None, width=width)


class TerminalProgress:
    """A progress bar on a terminal, and notes as lines; without a terminal the notes alone."""

    def __init__(self, quiet: bool = False) -> None:
        self._console = console()
        self._quiet = quiet

    def track(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        if self._quiet or not self._console.is_terminal:
            yield from items
            return
        from rich.progress import track

        yield from track(items, escaped(description), total, console=self._console, transient=True)

    def say(self, message: str) -> None:
        if not self._quiet:
            self._console.print(f"[dim]•[/dim] {escaped(message)}")


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


def print_summaries(records: Sequence[dict[str, Any]]) -> None:
    """The table of finished bundles, and one line for each that failed."""
    from dmformer.tasks.registry import figures_of

    headline = next((figure for record in records for figure in figures_of(record["task"])), None)
    title = f">{headline.title}" if headline else ">accuracy"
    grid = table(None, "", "engine", ">size", title, ">PyTorch", ">agreement", ">SQNR dB", ">max error")
    for record in records:
        score = record["figures"].get(headline.key, {}) if headline else {}
        equal = record["sqnr_db"] is None and record["agreement"] is not None
        grid.add_row(
            "[green]✓[/green]" if record["verified"] else "[red]✗[/red]",
            escaped(f"{record['target']} {record['named']}"),
            size_text(record["engine_bytes"]),
            number(score.get("engine")),
            number(score.get("reference")),
            number(record["agreement"], "{:.2%}"),
            "equal" if equal else number(record["sqnr_db"], "{:.1f}"),
            number(record["max_abs_error"], "{:.1e}"),
        )
    out = console()
    out.print(grid)
    for record in records:
        ran = "its twin in ONNX Runtime" if record["verified_by"] == "twin" else record["executes"]
        verb = "was judged by" if record["verified_by"] == "twin" else "executes"
        facts = f"{record['target']} {verb} {ran}; {record['images']} images of {record['data']}"
        out.print(f"  {escaped(facts)}\n    -> [bold]{escaped(record['path'])}[/bold]")
        for failure in record["failures"]:
            out.print(f"    [red]✗[/red] {escaped(failure)}")
        for note in record["notes"]:
            out.print(f"    [dim]•[/dim] {escaped(note)}")
