"""A full disk is told by the system's words, whatever a library makes of it."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dmformer.errors import DataError, DmformerError, EngineCrashError, EngineError, OutputError
from dmformer.scratch import scratch_directory
from dmformer.space import refusal, shortage
from dmformer.staging import staged
from tests.support import run, snapshot

LIBRARIES = (
    EngineError("openvino: basic_ios::clear: iostream error"),
    EngineCrashError("coreml: the process died (SIGBUS) while building the engine"),
    RuntimeError("Error while serializing: IoError(Os { code: 28 })"),
    OSError(errno.ENOSPC, "No space left on device"),
    SystemError("null argument to internal routine"),
)
"""What libraries raised on full disks."""


def fill(place: Path) -> None:
    with contextlib.suppress(OSError), (place / "half").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))


@pytest.mark.parametrize("error", LIBRARIES, ids=lambda error: type(error).__name__)
def test_whatever_a_library_says_of_a_full_disk(error: Exception, disk: Callable[[int], Path]) -> None:
    place = disk(256)
    with pytest.raises(OutputError, match=r"bundle: cannot be written \(No space"), staged(place / "bundle") as work:
        fill(work.directory)
        raise error
    assert snapshot(place) == {}
    kept = type(error) if not isinstance(error, OSError) else OutputError
    with pytest.raises(kept), staged(place / "bundle"):
        raise error


@pytest.mark.parametrize("error", LIBRARIES, ids=lambda error: type(error).__name__)
def test_and_of_no_room_for_temporary_files(
    error: Exception, disk: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = disk(256)
    monkeypatch.setenv("TMPDIR", str(place))
    full = pytest.raises(OutputError, match=rf"^{place}: temporary files cannot be written \(No space left")
    with full, staged(Path("bundle")), scratch_directory() as outer:
        # As in a child process.
        monkeypatch.setattr(tempfile, "tempdir", str(outer))
        with scratch_directory() as scratch:
            fill(scratch)
            raise error
    assert snapshot(place) == {}


@pytest.mark.parametrize("error", [DataError("no image"), OutputError("exists already")])
def test_what_is_wrong_with_the_input_is_told_on_a_full_disk_too(
    error: DmformerError, disk: Callable[[int], Path]
) -> None:
    with pytest.raises(type(error), match=error.message), staged(disk(256) / "bundle") as work:
        fill(work.directory)
        raise error


def test_an_error_about_another_place_stays_what_it_is(tmp_path: Path) -> None:
    other = FileNotFoundError(errno.ENOENT, "No such file", str(tmp_path / "elsewhere" / "x"))
    (tmp_path / "here").mkdir()
    assert refusal(other, tmp_path / "here") is None
    copied = OSError(errno.ENOSPC, "No space left", "/elsewhere/model.bin", None, str(tmp_path / "here" / "model.bin"))
    assert refusal(copied, tmp_path / "here") == "No space left"
    assert shortage(tmp_path / "here") is None
    assert shortage(tmp_path / "gone") is None


def test_what_a_library_removed_again_is_asked_for(disk: Callable[[int], Path]) -> None:
    place, error = disk(256), EngineError("openvino: basic_ios::clear: iostream error")
    assert refusal(error, place, 100_000) is None
    assert refusal(error, place, 300_000) == "No space left on device"
    assert list(place.iterdir()) == []


def test_a_limit_of_file_sizes_is_told(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from dmformer.space import shortage
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
place = Path(sys.argv[1])
assert shortage(place) is None
(place / "half").write_bytes(bytes(200_000))
print(shortage(place))
"""
    assert run(tmp_path, code=code).stdout == "File too large\n"
