"""Scratch of runs that were stopped: who removes what, with real processes and real signals."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dmformer.files import write_atomically
from dmformer.scratch import PREFIX, scratch_directory
from tests.support import finish, kill_when, start, world

Exported = Callable[..., Path]

HOLDER = """
import sys, time
from dmformer.scratch import scratch_directory
with scratch_directory() as scratch:
    (scratch / "half").write_text("x")
    time.sleep(600)
"""
REMOVER = """
import sys
from pathlib import Path
from dmformer.scratch import scratch_directory
from dmformer.staging import staged
with scratch_directory() as scratch, staged(Path(sys.argv[1])) as staging:
    for folder in (scratch, staging.directory):
        for number in range(2000):
            (folder / str(number)).touch()
    Path(sys.argv[2]).touch()
"""
WRITER = """
import os, sys, time
from pathlib import Path
from dmformer import files
files.os.fsync = lambda descriptor: time.sleep(600)
files.write_atomically(Path(sys.argv[1]), b"half")
"""


def place() -> Path:
    return Path(tempfile.gettempdir())


def held() -> list[Path]:
    return sorted(place().glob(f"{PREFIX}*"))


def test_scratch_is_private_and_gone_at_the_end() -> None:
    with pytest.raises(KeyboardInterrupt), scratch_directory() as scratch:
        assert scratch.stat().st_mode & 0o777 == 0o700
        (scratch / "deep").mkdir()
        raise KeyboardInterrupt
    assert held() == []


@pytest.mark.parametrize("left", [1500, 1])
@pytest.mark.parametrize("first", [True, False], ids=["staged", "scratch"])
def test_a_run_that_is_stopped_while_it_removes_its_own_goes_on_removing(
    first: bool, left: int, tmp_path: Path
) -> None:
    out, ready = tmp_path / "parent" / "out", tmp_path / "ready"
    process = start(out, ready, code=REMOVER)

    def removing() -> bool:
        folders = list(out.parent.glob(".*.partial") if first else place().glob(f"{PREFIX}*"))
        return ready.exists() and all(sum(1 for _ in folder.glob("*")) < left for folder in folders)

    kill_when(process, removing, signal.SIGINT)
    finish(process)
    assert held() == []
    assert list(tmp_path.iterdir()) == [ready]


def test_the_next_run_removes_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    killed, living = start(code=HOLDER), start(code=HOLDER)
    kill_when(killed, lambda: len(list(place().glob(f"{PREFIX}*/half"))) == 2, signal.SIGKILL)
    finish(killed)
    (tmp_path / "precious").write_text("kept")
    others = [place() / name for name in ("dmformer-projects", f"{PREFIX}notes", f"{PREFIX}UPPERCAS")]
    for other in others:
        other.mkdir()
    link, file = place() / f"{PREFIX}00000000", place() / f"{PREFIX}11111111"
    link.symlink_to(tmp_path)
    file.write_text("a file")
    try:
        with scratch_directory() as own:
            assert {path for path in held() if path.is_dir() and path not in [*others, link, own]} == {
                half.parent for half in place().glob(f"{PREFIX}*/half")
            }
            assert len(list(place().glob(f"{PREFIX}*/half"))) == 1, "the living one keeps its own"
        assert all(path.exists() for path in [*others, link, file, tmp_path / "precious"])
    finally:
        os.killpg(living.pid, signal.SIGKILL)
        finish(living)
        link.unlink()
        file.unlink()
        for other in others:
            other.rmdir()
    with scratch_directory():
        pass
    assert held() == []


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a folder away")
def test_scratch_of_another_user_stays() -> None:
    other = place() / f"{PREFIX}22222222"
    other.mkdir()
    os.chown(other, 12345, 12345)
    with scratch_directory():
        assert other.exists()
    other.rmdir()


def test_half_a_file_of_a_killed_run_is_removed_by_the_next_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    def halves() -> list[Path]:
        return sorted(tmp_path.glob(".dmformer-*.partial"))

    killed, living = (start(tmp_path / "out.json", code=WRITER) for _ in range(2))
    kill_when(killed, lambda: len(halves()) == 2, signal.SIGKILL)
    finish(killed)
    link = tmp_path / ".dmformer-0123456789abcdef.partial"
    link.symlink_to("out.json")
    write_atomically(tmp_path / "out.json", b"whole")
    assert (tmp_path / "out.json").read_bytes() == b"whole"
    assert len(halves()) == 2, "the link and the living one's"
    os.killpg(living.pid, signal.SIGKILL)
    finish(living)
    write_atomically(tmp_path / "out.json", b"whole")
    assert halves() == [link]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(pid: int) -> set[int]:
    try:
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return set()


@pytest.mark.skipif(not Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
@pytest.mark.parametrize("whom", ["the process", "its group"])
def test_a_bench_that_is_stopped_takes_its_workers_along(
    number: signal.Signals, whom: str, exported: Exported, tmp_path: Path
) -> None:
    before = world(tmp_path)
    bundle, seen = exported("onnxruntime"), set[int]()
    process = start("bench", bundle, "--against", "none", "--duration", "60", "--threads", "1", "--no-layers")

    def measuring() -> bool:
        seen.update(children(process.pid))
        return bool(seen) and bool(held())

    send = os.killpg if whom == "its group" else os.kill
    kill_when(process, measuring, signal.SIGCONT)
    send(process.pid, number)
    code = finish(process).returncode
    assert code == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    assert seen
    deadline = time.monotonic() + 20
    while any(map(alive, seen)):
        assert time.monotonic() < deadline, "a worker outlives the bench"
        time.sleep(0.01)
    if number == signal.SIGKILL:
        with scratch_directory():
            pass
    assert world(tmp_path) == before
