"""Every command's output option, walked through places that cannot or must not be written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.documents import make_document
from tests.support import invoke, one_line, snapshot

Capture = pytest.CaptureFixture[str]
Command = Callable[[Path, str], list[str | Path]]
"""The arguments of a command, from a bundle and the place to write to."""

COMMANDS: dict[str, Command] = {
    "bench": lambda bundle, out: ["bench", bundle, "--against", "none", "-o", out],
    "report": lambda bundle, out: ["report", out, "bench.json"],
    "calibrate": lambda bundle, out: ["calibrate", "-o", out],
    "embed": lambda bundle, out: ["embed", bundle, "--lang", "python", "-o", out],
    "inspect": lambda bundle, out: ["inspect", "--sensitivity", "--picture", out],
}
PLACES = ["", ".", "/", "absent/x.html", "foreign.html", "link.html", "folder.html", "x" * 300, os.fsdecode(b"\xff")]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_wrong_place_is_one_line_before_any_work(
    exported: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    command: str,
    place: str,
) -> None:
    if command == "embed" and place == "absent/x.html":
        pytest.skip("embed makes the folders above its project")
    bundle = exported("onnxruntime")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    Path("bench.json").write_text(make_document().to_json())
    Path("foreign.html").write_text("by hand")
    Path("link.html").symlink_to("foreign.html")
    Path("folder.html").mkdir()
    Path("folder.html/notes.txt").write_text("years of work")
    before = snapshot(work)
    code, out, err = invoke(capsys, *COMMANDS[command](bundle, place))
    assert code == 2, err
    assert out == ""
    one_line(err)
    assert snapshot(work) == before


def test_a_measurement_is_never_taken_for_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.json", "b.json", "c.html"):
        Path(name).write_text(make_document().to_json())
    before = snapshot(tmp_path)
    for arguments in (
        ("a.json", "b.json"),
        ("a.json", "b.json", "--force"),
        ("a.json", "a.json", "--force"),
        ("c.html", "a.json"),
        ("c.html", "c.html", "--force"),
    ):
        assert invoke(capsys, "report", *arguments)[0] == 2
    assert snapshot(tmp_path) == before
    for _ in range(2):
        assert invoke(capsys, "report", "page.html", "a.json")[0] == 0, "a page of ours is replaced"
