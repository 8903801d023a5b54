"""Where somebody watches: a bar and notes on a terminal or in a notebook, and no bar in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

from dmformer.progress import Progress, Silent
from dmformer.texts import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn

T = TypeVar("T")
LOG_WIDTH = 160
"""Columns where nobody looks at a terminal: tables are not cut there."""


def console() -> Console:
    """The terminal, on stderr, or the notebook's cell; a log file is wide."""
    from rich.console import Console

    width = None if sys.stderr.isatty() else LOG_WIDTH
    return Console(stderr=True, highlight=False, emoji=False, soft_wrap=width is not None, width=width)


class Shown:
    """Notes as lines, and a bar where it can move: on a terminal, and in a notebook that has ipywidgets.

    Args:
        place: Where; None takes `console`.
    """

    def __init__(self, place: Console | None = None) -> None:
        self._console = place or console()

    @property
    def moves(self) -> bool:
        """Whether a bar is shown."""
        return self._console.is_terminal or (self._console.is_jupyter and find_spec("ipywidgets") is not None)

    def track(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        if not self.moves:
            yield from items
            return
        from rich.progress import Progress as Bar

        with Bar(*_columns(), console=self._console, transient=True) as bar:
            yield from bar.track(items, total, description=printable(description))

    def say(self, message: str) -> None:
        from rich.text import Text

        self._console.print(Text.assemble(("\N{BULLET}", "dim"), " ", printable(message)))


class Together:
    """Works that go on at once, in threads: a bar for each under its name, and notes behind that.

    A context manager; see `Shown`.
    """

    def __init__(self, place: Console | None = None) -> None:
        from rich.progress import Progress as Bar

        self._shown, self._console = Shown(place), place or console()
        self._bar = Bar(*_columns(), console=self._console, transient=True) if self._shown.moves else None

    def of(self, name: str) -> Progress:
        """What watches the work of that name."""
        return _Named(name, self._shown, self._bar)

    def __enter__(self) -> Together:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


class _Named:
    """The work of one name."""

    def __init__(self, name: str, notes: Shown, bar: Bar | None) -> None:
        self._name, self._notes, self._bar = name, notes, bar

    def track(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        if self._bar is None:
            yield from items
            return
        task = self._bar.add_task(printable(f"{self._name}: {description}"), total=total)
        try:
            for item in items:
                yield item
                self._bar.advance(task)
        finally:
            self._bar.remove_task(task)

    def say(self, message: str) -> None:
        self._notes.say(f"{self._name}: {message}")


def _columns() -> tuple[ProgressColumn, ...]:
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()


def shown(place: Console | None = None) -> Progress:
    """What shows work to whoever called a function: nothing where neither a terminal nor a notebook is there."""
    place = place or console()
    return Shown(place) if place.is_terminal or place.is_jupyter else Silent()
