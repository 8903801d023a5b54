"""Directories for intermediate files among the system's temporary ones.

A run removes its own, however it is stopped; what a run left that was killed outright is removed by the next one.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dmformer.errors import OutputError
from dmformer.files import remove_tree
from dmformer.locks import abandoned, fresh, unlock
from dmformer.space import refusal

PREFIX = "dmformer-scratch-"
NAME = re.compile(rf"{PREFIX}[a-z0-9_]{{8}}")
"""What `tempfile.mkdtemp` makes of the prefix: no user gives a folder of their own such a name."""


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A fresh directory that is in use, and locked, until the end of the block, and then gone.

    Raises:
        OutputError: The work failed because there is no room for temporary files, whatever it made of that.
    """
    _sweep(Path(tempfile.gettempdir()))
    directory, held = fresh(lambda: Path(tempfile.mkdtemp(prefix=PREFIX)))
    try:
        yield directory
    except Exception as error:
        if (why := refusal(error, directory)) is None:
            raise
        # A child's temporary files are in a directory of its parent, which nobody knows by name.
        place = next(folder for folder in directory.parents if not NAME.fullmatch(folder.name))
        raise OutputError(
            f"{place}: temporary files cannot be written ({why})", "make room, or let TMPDIR name another folder"
        ) from error
    finally:
        try:
            remove_tree(directory)
        finally:
            unlock(held)


def _sweep(place: Path) -> None:
    """Removes what killed runs of this user left. The place may be shared: a link, or what another owns, stays."""
    with os.scandir(place) as entries:
        folders = [Path(entry.path) for entry in entries if NAME.fullmatch(entry.name) and _is_own_directory(entry)]
    for left in abandoned(folders):
        remove_tree(left)


def _is_own_directory(entry: os.DirEntry[str]) -> bool:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:  # gone meanwhile
        return False
    return stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())
