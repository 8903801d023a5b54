"""Where work is shown: a bar where it can move, notes where somebody reads them, nothing in a script's log."""

from __future__ import annotations

from importlib.util import find_spec
from io import StringIO

import pytest
from rich.console import Console

from dmformer.progress import Silent
from dmformer.terminal import Shown, console, shown


def test_a_script_without_a_terminal_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    watch = shown()
    assert isinstance(watch, Silent)
    watch.say("a note")
    assert list(watch.track(range(3), "counting", 3)) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_a_bar_and_notes_as_they_are_written() -> None:
    text = StringIO()
    watch = shown(Console(file=text, force_terminal=True, width=120, _environ={"TERM": "xterm"}))
    assert isinstance(watch, Shown)
    assert watch.moves
    assert list(watch.track(range(3), "counting [bold]sheep[/bold] \x1b[2J", 3)) == [0, 1, 2]
    watch.say("a [red]note[/red] \\[x]")
    assert "counting [bold]sheep[/bold]" in text.getvalue()
    assert "a [red]note[/red] \\[x]" in text.getvalue()
    assert "\x1b[2J" not in text.getvalue()


def test_a_notebook_shows_notes_and_a_bar_where_widgets_are_installed() -> None:
    watch = shown(Console(force_jupyter=True))
    assert isinstance(watch, Shown)
    assert watch.moves == (find_spec("ipywidgets") is not None)


def test_the_command_line_writes_notes_to_a_log_without_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Shown(console())
    assert not watch.moves
    watch.say("a note")
    assert list(watch.track(range(3), "counting", 3)) == [0, 1, 2]
    assert capsys.readouterr() == ("", "• a note\n")
