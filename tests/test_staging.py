"""A directory is there whole or not at all, and nothing that dmformer did not make is harmed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dmformer import staging
from dmformer.errors import OutputError
from dmformer.staging import BUNDLE, PROJECT, Kind, Staging, check_destination, staged
from tests.support import partials, snapshot

NOBODY = 2**22 + 1
"""No process has this id: Linux stops at 2**22."""


def bundle(path: Path, text: str = "old") -> Path:
    path.mkdir(parents=True)
    (path / "manifest.json").write_text(json.dumps({"schema": "dmformer.bundle/1", "files": {"model.bin": {}}}))
    (path / "model.bin").write_text(text)
    return path


def fill(work: Staging, text: str = "new") -> None:
    (work.directory / "manifest.json").write_text(
        json.dumps({"schema": "dmformer.bundle/1", "files": {"model.bin": {}}})
    )
    (work.directory / "model.bin").write_text(text)


def test_published_under_parents_that_were_not_there(tmp_path: Path) -> None:
    destination = tmp_path / "a" / "b" / "bundle"
    with staged(destination) as work:
        fill(work)
        assert not destination.exists()
        assert work.directory.parent == destination.parent, "a rename must not cross file systems"
        assert work.publish() == destination
    assert (destination / "model.bin").read_text() == "new"
    assert sorted(destination.parent.iterdir()) == [destination]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), OutputError("x")])
def test_nothing_is_left_of_work_that_failed(tmp_path: Path, error: BaseException) -> None:
    before = snapshot(tmp_path)
    with pytest.raises(type(error)), staged(tmp_path / "a" / "b" / "bundle") as work:
        fill(work)
        raise error
    assert snapshot(tmp_path) == before


def test_what_exists_is_refused_without_force_and_replaced_with_it(tmp_path: Path) -> None:
    path = bundle(tmp_path / "bundle")
    with pytest.raises(OutputError, match="exists already"), staged(path):
        pass
    with staged(path, force=True) as work:
        fill(work)
        assert (path / "model.bin").read_text() == "old"
        work.publish()
    assert (path / "model.bin").read_text() == "new"
    assert partials(tmp_path) == []


def test_the_old_bundle_stands_where_forced_work_failed(tmp_path: Path) -> None:
    path = bundle(tmp_path / "bundle")
    before = snapshot(path)
    with contextlib.suppress(RuntimeError), staged(path, force=True) as work:
        fill(work)
        raise RuntimeError
    assert snapshot(path) == before
    assert partials(tmp_path) == []


def folder(path: Path, content: dict[str, str]) -> Path:
    path.mkdir()
    for name, text in content.items():
        (path / name).write_text(text)
    return path


@pytest.mark.parametrize(
    "content",
    [
        {"thesis.tex": "years of work"},
        {"manifest.json": '{"name": "a web application", "icons": []}', "index.html": "x"},
        {"manifest.json": "not json"},
        {"manifest.json": "[1]"},
        {"manifest.json": '{"schema": "other/1"}'},
    ],
)
def test_force_never_replaces_what_is_no_bundle(tmp_path: Path, content: dict[str, str]) -> None:
    path = folder(tmp_path / "bundle", content)
    before = snapshot(tmp_path)
    with pytest.raises(OutputError, match="no bundle"), staged(path, force=True):
        pass
    assert snapshot(tmp_path) == before


def test_force_replaces_an_empty_folder_a_damaged_bundle_and_one_of_a_newer_schema(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    damaged = bundle(tmp_path / "damaged")
    (damaged / "model.bin").unlink()
    newer = folder(tmp_path / "newer", {"manifest.json": '{"schema": "dmformer.bundle/9"}'})
    for path in (tmp_path / "empty", damaged, newer):
        with staged(path, force=True) as work:
            fill(work)
            work.publish()
        assert (path / "model.bin").read_text() == "new"


@pytest.mark.parametrize(("kind", "other", "words"), [(PROJECT, BUNDLE, "no project"), (BUNDLE, PROJECT, "no bundle")])
def test_force_replaces_its_own_kind_only(tmp_path: Path, kind: Kind, other: Kind, words: str) -> None:
    own = folder(tmp_path / "own", {kind.file: json.dumps({"schema": f"{kind.family}9"})})
    foreign = folder(tmp_path / "foreign", {other.file: json.dumps({"schema": f"{other.family}1"})})
    with staged(own, True, kind) as work:
        fill(work)
        work.publish()
    assert (own / "model.bin").read_text() == "new"
    before = snapshot(tmp_path)
    with pytest.raises(OutputError, match=words), staged(foreign, True, kind):
        pass
    assert snapshot(tmp_path) == before


def test_files_and_links_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(bundle(tmp_path / "bundle"))
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    before = snapshot(tmp_path)
    for name in ("file", "link", "dangling"):
        with pytest.raises(OutputError, match="is not a directory"), staged(tmp_path / name, force=True):
            pass
    assert snapshot(tmp_path) == before


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    before = snapshot(tmp_path)
    for destination in (tmp_path / "file" / "a" / "b", tmp_path / ("x" * 300), Path("/proc/x/bundle")):
        with pytest.raises(OutputError) as caught, staged(destination):
            pass
        assert caught.value.message.startswith(("/", str(destination)))
    assert snapshot(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root; the place under /proc stands for it above")
def test_no_permission_is_found_before_any_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="no permission"):
        check_destination(tmp_path / "bundle", force=False)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_a_full_disk_is_an_output_error_whatever_file_it_names(tmp_path: Path, number: int) -> None:
    with pytest.raises(OutputError, match="cannot be written"), staged(tmp_path / "bundle"):
        raise OSError(number, os.strerror(number))
    assert list(tmp_path.glob("*bundle*")) == []


def test_a_file_that_cannot_be_read_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), staged(tmp_path / "bundle"):
        (tmp_path / "input").read_bytes()


def test_the_next_run_clears_what_killed_ones_left(tmp_path: Path) -> None:
    for name in (
        ".bundle.4294967296.partial",
        ".bundle.1.partial",
        f".bundle.{os.getpid()}.partial",
        f".bundle.{NOBODY}.replaced.partial",
    ):
        folder(tmp_path / name, {"model.bin": "x"})
    others = {f".bundle-2.{NOBODY}.partial", f".bundle.rejected.{NOBODY}.partial"}
    for name in others:
        folder(tmp_path / name, {})
    bundle(tmp_path / "bundle")
    with staged(tmp_path / "bundle", force=True) as running:
        others.add(running.directory.name)
        with staged(tmp_path / "bundle", force=True):
            pass
        others_left = partials(tmp_path)
    assert {path.name for path in others_left} == others, "others' work and running runs' work stay"


def test_the_next_run_puts_a_bundle_back_that_was_away_when_a_run_was_killed(tmp_path: Path) -> None:
    bundle(tmp_path / f".bundle.{NOBODY}.replaced.partial")
    bundle(tmp_path / f".bundle.rejected.{NOBODY}.replaced.partial", "rejected")
    with contextlib.suppress(RuntimeError), staged(tmp_path / "bundle"):
        raise RuntimeError
    assert (tmp_path / "bundle" / "model.bin").read_text() == "old"


@pytest.mark.parametrize("named", [True, False])
def test_a_bundle_that_another_run_published_meanwhile_is_not_replaced(tmp_path: Path, named: bool) -> None:
    with pytest.raises(OutputError, match="exists already"), staged(tmp_path / "bundle") as work:
        fill(work)
        bundle(tmp_path / "bundle", "the other run's")
        work.publish(work.destination if named else None)
    assert (tmp_path / "bundle" / "model.bin").read_text() == "the other run's"
    assert partials(tmp_path) == []


def test_a_rejected_bundle_replaces_the_last_rejected_one_and_leaves_the_good_one(tmp_path: Path) -> None:
    good, rejected = bundle(tmp_path / "bundle", "good"), bundle(tmp_path / "bundle.rejected", "old")
    with staged(good, force=True) as work:
        fill(work)
        assert work.publish(rejected) == rejected
    assert (good / "model.bin").read_text() == "good"
    assert (rejected / "model.bin").read_text() == "new"


def test_without_the_one_step_exchange_a_bundle_is_replaced_in_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_exchange", lambda one, other: False)
    path = bundle(tmp_path / "bundle")
    with staged(path, force=True) as work:
        fill(work)
        work.publish()
    assert (path / "model.bin").read_text() == "new"
    assert partials(tmp_path) == []


LOADER = """
import sys
from pathlib import Path
seen, path = set(), Path(sys.argv[1])
print("ready", flush=True)
while not Path(sys.argv[2]).exists():
    seen.add(path.is_dir())
print(sorted(seen))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two directories in one step")
def test_there_is_no_moment_without_a_bundle_while_it_is_replaced(tmp_path: Path) -> None:
    path = bundle(tmp_path / "bundle")
    other = bundle(tmp_path / "probe")
    if not staging._exchange(path, other):
        pytest.skip("this file system cannot exchange two directories")
    staging._exchange(path, other)
    command = [sys.executable, "-c", LOADER, str(path), str(tmp_path / "stop")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout is not None
        watcher.stdout.readline()
        for index in range(200):
            with staged(path, force=True) as work:
                fill(work, "old" if index % 2 else "new")
                work.publish()
        (tmp_path / "stop").touch()
        assert watcher.stdout.read().strip() == "[True]"


@pytest.mark.parametrize("kind", [BUNDLE, PROJECT])
@pytest.mark.parametrize("added", ["notes.txt", ".git/HEAD", "model.bin.bak", "sub/model.bin", ".hidden"])
def test_force_never_replaces_what_somebody_put_into_a_directory_of_ours(
    tmp_path: Path, kind: Kind, added: str
) -> None:
    path = folder(tmp_path / "made", {"model.bin": "x"})
    listed = {"model.bin": {}} if kind is BUNDLE else ["model.bin"]
    (path / kind.file).write_text(json.dumps({"schema": f"{kind.family}1", "files": listed}))
    check_destination(path, True, kind)
    (path / added).parent.mkdir(exist_ok=True)
    (path / added).write_text("years of work")
    with pytest.raises(OutputError, match=added.replace(".", r"\.")), staged(path, True, kind):
        pass
    assert (path / added).read_text() == "years of work"


def test_a_mark_alone_gives_nobody_leave_to_remove_a_thesis(tmp_path: Path) -> None:
    path = folder(tmp_path / "made", {PROJECT.file: '{"schema": "dmformer.project/"}', "thesis.tex": "x"})
    (path / "link").symlink_to(tmp_path)
    with pytest.raises(OutputError, match=r"link, thesis\.tex|thesis\.tex, link"):
        check_destination(path, True, PROJECT)


@pytest.mark.parametrize("name", ["", ".", "..", "/", "x" * 230, "x" * 300, os.fsdecode(b"\xff")])
@pytest.mark.parametrize("force", [False, True])
def test_names_of_which_no_directory_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, force: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError) as caught, staged(Path(name), force):
        pass
    assert caught.value.message.isprintable()
    assert list(tmp_path.iterdir()) == []


RUN = """
import sys
from pathlib import Path
from dmformer.staging import staged
with staged(Path(sys.argv[1]), force=True) as work:
    print(work.directory, flush=True)
    sys.stdin.readline()
"""


def test_the_work_of_another_process_is_safe_until_it_is_killed(tmp_path: Path) -> None:
    path = bundle(tmp_path / "bundle")
    command = [sys.executable, "-c", RUN, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        directory = Path(other.stdout.readline().strip())
        with staged(path, force=True) as work:
            fill(work)
            work.publish()
        assert directory.is_dir()
        other.kill()
    with staged(path, force=True):
        assert not directory.exists()


def test_runs_that_start_at_once_publish_whole_bundles_only(tmp_path: Path) -> None:
    path = tmp_path / "bundle"

    def run(text: str) -> None:
        for _ in range(20):
            with staged(path, force=True) as work:
                fill(work, text)
                (work.directory / "model.bin").write_text(text)
                with contextlib.suppress(OutputError):  # another filled the empty place first
                    work.publish()

    runs = [threading.Thread(target=run, args=(text,)) for text in "abcd"]
    for one in runs:
        one.start()
    for one in runs:
        one.join()
    assert sorted(snapshot(path)) == ["manifest.json", "model.bin"]
    assert partials(tmp_path) == []


def test_a_full_disk_names_the_destination(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught, staged(tmp_path / "bundle"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "the/source.bin")
    assert caught.value.message.startswith(f"{tmp_path / 'bundle'}: ")
