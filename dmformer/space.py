"""Whether a place is full, asked of the system: libraries tell it in words of their own, as "iostream error"."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from dmformer.errors import InputError, OutputError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
PROBE = 1 << 16
"""Bytes that a place with room takes."""


def refusal(error: Exception, folder: Path, wanted: int = PROBE) -> str | None:
    """Why an error means that a folder of ours cannot be written, in the system's words; None where it does not.

    Args:
        error: What came out of the work in it, a library's own error or one of ours.
        folder: With what was written so far still in it.
        wanted: Bytes that were to be written, as far as that is known: libraries remove what they could not finish.
    """
    if isinstance(error, InputError | OutputError):
        return None
    if isinstance(error, OSError) and isinstance(named := error.filename2 or error.filename, str | Path):
        within = Path(named).is_relative_to(folder) or Path(named) in folder.parents
        return error.strerror if within else None
    return shortage(folder, wanted)


def shortage(folder: Path, wanted: int = PROBE) -> str | None:
    """Why a folder does not take so many bytes, or no larger file than is in it; None where it does."""
    try:
        largest = max((path.stat().st_size for path in folder.rglob("*") if path.is_file()), default=0)
        _try(folder, max(largest + 1, wanted), wanted)
    except OSError as error:
        return error.strerror if error.errno in FULL else None
    return None


def has_room(folder: Path) -> bool:
    """Whether a folder, however many files are in it, takes a small one."""
    try:
        _try(folder, PROBE, PROBE)
    except OSError:
        return False
    return True


def _try(folder: Path, length: int, written: int) -> None:
    """Makes a file of a length, with so many bytes that take room, and removes it."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.truncate(length)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, written)
        file.write(bytes(min(written, PROBE)))
        file.flush()
        os.fsync(file.fileno())
