"""An output path never replaces what the user did not name."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dmformer.errors import OutputError
from dmformer.files import check_output, document_of, marked, write_atomically, write_output
from tests.support import partials, snapshot

OURS = document_of("dmformer.bench/")


def nothing(path: Path) -> None:
    """Leaves the place as it is."""


def linked_loop(path: Path) -> None:
    path.symlink_to(path.name)


REFUSED: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no name": ("", nothing),
    "the folder itself": (".", nothing),
    "the folder above": ("..", nothing),
    "the root": ("/", nothing),
    "a missing parent": ("absent/x.json", nothing),
    "a file as parent": ("file/x.json", lambda path: path.parent.write_text("x")),
    "a name of 300 characters": ("x" * 300, nothing),
    "a name that is no UTF-8": (os.fsdecode(b"\xff.json"), nothing),
    "a foreign file": ("x.json", lambda path: path.write_text("{}")),
    "a document of another family": ("x.json", lambda path: path.write_text('{"schema": "dmformer.bundle/1"}')),
    "a folder": ("x.json", lambda path: path.mkdir()),
    "a link to a foreign file": ("x.json", lambda path: path.symlink_to(path.parent / "kept")),
    "a link to a folder": ("x.json", lambda path: path.symlink_to(path.parent)),
    "a link into a missing folder": ("x.json", lambda path: path.symlink_to(path.parent / "absent" / "x")),
    "a link to itself": ("x.json", linked_loop),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_or_must_not_be_written_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").write_text("years of work")
    name, make = REFUSED[case]
    make(tmp_path / name)
    before = snapshot(tmp_path)
    path = Path(name)
    for write in (False, True):
        with pytest.raises(OutputError) as caught:
            write_output(path, b"new", OURS) if write else check_output(path, OURS)
        assert len(caught.value.message.splitlines()) == 1
        assert caught.value.message.isprintable()
        assert caught.value.hint
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("content", [b'{"schema": "dmformer.bench/1"}', b'{"schema": "dmformer.bench/9", "x": [1]}'])
def test_documents_of_ours_are_replaced_through_any_number_of_links(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "bench.json"
    real.write_bytes(content)
    real.chmod(0o640)
    (tmp_path / "link").symlink_to(real)
    (tmp_path / "link to a link").symlink_to("link")
    write_output(tmp_path / "link to a link", b"new", OURS)
    assert real.read_bytes() == b"new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert (tmp_path / "link to a link").is_symlink()
    assert (tmp_path / "link").is_symlink()
    assert partials(tmp_path) == []


def test_a_dangling_link_gets_its_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("new")
    write_output(tmp_path / "link", b"x")
    assert (tmp_path / "new").read_bytes() == b"x"
    assert (tmp_path / "link").is_symlink()


def test_names_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    write_output(path, b"x")
    assert path.read_bytes() == b"x"


def test_force_replaces_other_files_but_never_an_input(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text("measured for a night")
    other = tmp_path / "same"
    other.hardlink_to(path)
    for given in (path, other, tmp_path):
        with pytest.raises(OutputError, match="is an input"):
            check_output(path, force=True, inputs=[given])
    write_output(path, b"new", force=True)
    assert path.read_bytes() == b"new"


def test_pages_are_known_by_their_mark(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("<html>by hand")
    with pytest.raises(OutputError, match="exists already"):
        check_output(path, marked("<made by us>"))
    path.write_text("<html><made by us>")
    check_output(path, marked("<made by us>"))


def test_a_fifo_is_written_into_and_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with pytest.raises(OutputError, match="nobody reads it"):
        write_output(path, b"x")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    seen: list[bytes] = []

    def read() -> None:
        while sum(map(len, seen)) < len(content):
            with contextlib.suppress(BlockingIOError):  # nothing there yet
                seen.append(os.read(descriptor, 65536))

    content = b"more than a pipe holds" * 10_000
    reader = threading.Thread(target=read)
    reader.start()
    write_output(path, content)
    reader.join()
    os.close(descriptor)
    assert b"".join(seen) == content
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert partials(tmp_path) == []


def test_a_device_is_written_into_and_stays_one(tmp_path: Path) -> None:
    path, link = tmp_path / "null", tmp_path / "link"
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        path.open("wb").close()
    except PermissionError:
        pytest.skip("only root makes devices")
    link.symlink_to(path)
    for place in (path, link):
        write_output(place, b"x", OURS)
    assert stat.S_ISCHR(path.stat().st_mode)
    assert link.is_symlink()


def test_block_devices_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    try:
        os.mknod(path, stat.S_IFBLK | 0o666, os.makedev(0, 0))
    except PermissionError:
        pytest.skip("only root makes devices")
    with pytest.raises(OutputError, match="is no file"):
        check_output(path, force=True)


def test_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    contents = [bytes([65 + number]) * 100_000 for number in range(8)]
    writers = [threading.Thread(target=write_atomically, args=(path, content)) for content in contents]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_bytes() in contents
    assert partials(tmp_path) == []
