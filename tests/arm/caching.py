"""Parts that are made once: kept until what they are made of changes."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path


def digest_of(*things: Path | bytes) -> str:
    """SHA-256 of files, of all files below directories, and of bytes."""
    digest = hashlib.sha256()
    for thing in things:
        if isinstance(thing, bytes):
            digest.update(thing)
            continue
        for path in sorted(thing.rglob("*")) if thing.is_dir() else [thing]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(thing)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def cached(part: Path, key: str, make: Callable[[Path], None]) -> Path:
    """A directory, and what ``make`` put into it: it is called only where there is none of this key."""
    mark = part.with_name(f"{part.name}.key")
    if mark.is_file() and mark.read_text() == key:
        return part
    mark.unlink(missing_ok=True)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    make(part)
    mark.write_text(key)
    return part


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Lets one process at a time make parts in a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
