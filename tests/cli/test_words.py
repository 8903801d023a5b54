"""Words on the command line that are no UTF-8, for every option and argument of every command."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main

from dmformer.cli.app import app
from tests.support import invoke, one_line, snapshot

WORD = os.fsdecode(b"a\xff")
GROUP = typer.main.get_command(app)
COMMANDS: dict[str, tuple[str, ...]] = {
    "export": ("{weights}",),
    "build": ("{bundle}",),
    "verify": ("{bundle}",),
    "predict": ("{bundle}", "picture.png"),
    "embed": ("{bundle}",),
    "bench": ("{bundle}",),
    "compare": ("before.json", "after.json"),
    "report": ("report.html", "bench.json"),
    "inspect": ("{bundle}",),
    "calibrate": ("{weights}",),
    "cache": (),
    "doctor": (),
}
"""Arguments that each command takes."""


def words() -> list[tuple[str, str]]:
    """Every command with every option that takes a word, and with each of its arguments by its position."""
    found = []
    for name, command in GROUP.commands.items():  # type: ignore[attr-defined]
        arguments = [one for one in command.params if one.param_type_name == "argument"]
        found += [(name, str(place)) for place in range(len(arguments))]
        options = [one for one in command.params if one.param_type_name == "option" and not one.is_flag]
        found += [(name, one.opts[0]) for one in options if not one.is_eager]
    return found


def test_every_command_is_walked() -> None:
    assert {name for name, _ in words()} | {"cache", "doctor"} == set(COMMANDS)
    assert ("verify", "--reference") in words()


@pytest.mark.parametrize(("command", "where"), words(), ids=" ".join)
def test_a_word_that_is_no_utf_8_is_one_line_before_any_work(
    command: str,
    where: str,
    exported: Callable[..., Path],
    weights: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [part.format(bundle=exported("onnxruntime"), weights=weights) for part in COMMANDS[command]]
    if where.startswith("-"):
        arguments += [where, WORD]
    else:
        arguments[int(where) : int(where) + 1] = [WORD]
    before = snapshot(Path())
    code, out, err = invoke(capsys, command, *arguments)
    assert code == 2, err
    assert out == ""
    if "Invalid value" not in err and "Missing" not in err:  # what Typer itself refuses stands in a box
        assert err.startswith("error: "), "nothing was begun"
        one_line(err)
    assert "Traceback" not in err
    assert snapshot(Path()) == before


def test_pictures_may_be_called_anything(exported: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np
    from PIL import Image

    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(f"{WORD}.png")
    code, out, _ = invoke(capsys, "predict", exported("onnxruntime"), f"{WORD}.png")
    assert code == 0
    assert "class" in out
