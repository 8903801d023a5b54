"""Every command's output option, walked through places that cannot or must not be written."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.documents import make_document
from tests.support import invoke, one_line, snapshot

Capture = pytest.CaptureFixture[str]
Exported = Callable[..., Path]
COMMANDS: dict[str, tuple[str, ...]] = {
    "bench": ("bench", "{bundle}", "--against", "none", "-o", "{out}"),
    "report": ("report", "{out}", "bench.json"),
    "calibrate": ("calibrate", "-o", "{out}"),
    "inspect": ("inspect", "--sensitivity", "--picture", "{out}"),
    "embed": ("embed", "{bundle}", "--lang", "python", "-o", "{out}"),
    "build": ("build", "{tensorrt}", "-o", "{out}"),
    "build --force": ("build", "{tensorrt}", "-o", "{out}", "--force"),
    "export": ("export", "{weights}", "-o", "{out}"),
    "export --force": ("export", "{weights}", "-o", "{out}", "--force"),
}
"""The arguments of each command that writes for the user."""
PLACES = {
    "empty": "",
    "here": ".",
    "root": "/",
    "above": "..",
    "no parent": "absent/x.html",
    "file": "foreign.html",
    "in a file": "foreign.html/x.html",
    "link": "link.html",
    "link to a folder": "linked",
    "link to nowhere": "dangling",
    "in a link to nowhere": "dangling/x.html",
    "folder": "folder.html",
    "long": "x" * 300,
    "long above": f"absent/{'x' * 300}/x.html",
    "no UTF-8": os.fsdecode(b"\xff.html"),
    "in no UTF-8": os.fsdecode(b"\xff/x.html"),
    "kernel": "/proc/dmformer/x.html",
    "FIFO": "fifo",
    "in a FIFO": "fifo/x.html",
    "device": "device",
    "mounted": "mounted",
    "in read-only": "mounted/x.html",
}
FILES = {"bench", "report", "calibrate", "inspect"}
"""Those that write one file: into a FIFO and a device, and through a link."""
WRITTEN = {
    "embed": {"no parent"},
    "build": {"no parent"},
    "export": {"no parent", "empty", "here", "root", "above", "folder", "link to a folder"},
    **{command: {"FIFO", "device", "link to nowhere"} for command in FILES},
}
"""Places that a command does write to: `export` makes a folder of its own in the one that is named."""
WRONG = [(c, place) for c in sorted(COMMANDS) for place in sorted(PLACES) if place not in WRITTEN[c.partition(" ")[0]]]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with something of every kind in it that may stand at a place."""
    work = tmp_path / "above" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    Path("bench.json").write_text(make_document().to_json())
    Path("foreign.html").write_text("by hand")
    Path("folder.html").mkdir()
    Path("folder.html/notes.txt").write_text("years of work")
    for link, end in {"link.html": "foreign.html", "linked": "folder.html", "dangling": "nowhere"}.items():
        Path(link).symlink_to(end)
    os.mkfifo("fifo")
    with contextlib.suppress(OSError):
        os.mknod("device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    mounted = Path("mounted")
    mounted.mkdir()
    if os.getuid():
        mounted.chmod(0o555)
        yield work
        mounted.chmod(0o755)
        return
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=64k", "none", str(mounted)], check=False)
    if done.returncode:
        mounted.rmdir()
    yield work
    if mounted.is_mount():
        subprocess.run(["umount", str(work / mounted)], check=True)


def kinds(folder: Path) -> dict[str, tuple[int, str]]:
    """Every path under a folder, with what it is and where a link leads."""
    found = sorted(folder.rglob("*"))
    return {str(p): (p.lstat().st_mode, str(p.readlink()) if p.is_symlink() else "") for p in found}


@pytest.mark.parametrize(("command", "place"), WRONG)
def test_a_wrong_place_is_one_line_before_any_work(
    exported: Exported, weights: Path, work: Path, capsys: Capture, command: str, place: str
) -> None:
    out = PLACES[place]
    if out.partition("/")[0] in {"device", "mounted"} and not Path(out.partition("/")[0]).exists():
        pytest.skip("only root can make it")
    given = {"bundle": exported("onnxruntime"), "tensorrt": exported("tensorrt"), "weights": weights, "out": out}
    before = snapshot(work.parent), kinds(work.parent)
    code, printed, err = invoke(capsys, *(part.format(**given) for part in COMMANDS[command]))
    assert code == 2, err
    assert printed == ""
    one_line(err)
    assert err.startswith("error: "), "said before anything was begun"
    assert not re.search("not installed|nobody reads", err), "the place is what is wrong"
    assert (snapshot(work.parent), kinds(work.parent)) == before


@pytest.mark.parametrize("what", ["foreign.html", "link.html", "linked", "dangling", "folder.html", "fifo", "device"])
def test_what_stands_in_the_place_of_a_bundle_is_never_replaced(
    weights: Path, work: Path, capsys: Capture, what: str
) -> None:
    if not os.path.lexists(what):
        pytest.skip("only root can make it")
    Path(what).rename("mini-onnxruntime-fp32")
    before = snapshot(work), kinds(work)
    code, _, err = invoke(capsys, "export", weights, "-o", ".", "--force")
    assert code == 2
    assert one_line(err).startswith("error: mini-onnxruntime-fp32: ")
    assert (snapshot(work), kinds(work)) == before


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
