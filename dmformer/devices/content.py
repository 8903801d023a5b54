"""Files that go to a device: what they are called, and what they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dmformer.bundle import sha256_of
from dmformer.errors import DataError

MOST_FILES = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One file.

    Attributes:
        path: Below the top, with slashes; empty for the top itself.
        source: Where it is here.
        bytes: Its size; ``sha256`` in hexadecimal.
    """

    path: str
    source: Path
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Content:
    """A file or a directory, by what is in it.

    Attributes:
        name: Of the file or directory.
        entries: Every file.
    """

    name: str
    entries: tuple[Entry, ...]

    @property
    def key(self) -> str:
        """Equal for equal content under an equal name, and for nothing else."""
        facts = [self.name, *([entry.path, entry.bytes, entry.sha256] for entry in self.entries)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(entry.bytes for entry in self.entries)


def content_of(path: Path) -> Content:
    """What is to go: a file, or all regular files below a directory, links to files among them.

    Raises:
        DataError: It is not there, cannot be read, or holds more files than anybody copies.
    """
    try:
        if path.is_dir():
            files = sorted(_below(path))
            entries = [_entry(file.relative_to(path).as_posix(), file) for file in files]
        else:
            entries = [_entry("", path)]
    except OSError as error:
        raise DataError(f"{error.filename or path}: cannot be read ({error.strerror})") from error
    return Content(path.resolve().name, tuple(entries))


def _below(path: Path) -> Iterator[Path]:
    for count, file in enumerate(path.rglob("*")):
        if count > MOST_FILES:
            raise DataError(f"{path}: holds more than {MOST_FILES} files", "name a smaller directory")
        if file.is_file():
            yield file


def _entry(name: str, path: Path) -> Entry:
    return Entry(name, path, path.stat().st_size, sha256_of(path))
