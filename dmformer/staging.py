"""Writing a directory so that it is there whole or not at all.

The work happens in a hidden sibling whose name ends in ``.partial``; a finished directory is renamed into
place. A run that is killed leaves at most such a sibling, which nothing loads and which the next run to
the same destination removes.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dmformer.errors import OutputError

PARTIAL = ".partial"
MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True)
class Staging:
    """A directory under construction and the place that it is meant for."""

    directory: Path
    destination: Path

    def publish(self, destination: Path | None = None) -> Path:
        """Renames the finished directory into place, replacing a bundle that stands there.

        Args:
            destination: Another place beside the planned one, as for a rejected bundle.

        Raises:
            OutputError: The place cannot be written, or is no bundle.
        """
        target = destination or self.destination
        replaced = target.with_name(f".{target.name}.{os.getpid()}.replaced{PARTIAL}")
        try:
            if target.exists():
                refuse_to_replace(target)
                target.rename(replaced)
            try:
                self.directory.rename(target)
            except OSError:
                if replaced.exists():
                    replaced.rename(target)
                raise
        except OSError as error:
            raise OutputError(f"{target}: cannot be written ({error.strerror})") from error
        shutil.rmtree(replaced, ignore_errors=True)
        return target


def refuse_to_replace(target: Path) -> None:
    """Raises `OutputError` where ``target`` is something that dmformer did not make."""
    if target.is_symlink() or not target.is_dir():
        raise OutputError(f"{target}: is not a directory", "choose another --output")
    if any(target.iterdir()) and not (target / MANIFEST_FILE).is_file():
        raise OutputError(
            f"{target}: holds other files and no bundle", "choose another --output; --force replaces bundles only"
        )


def check_destination(destination: Path, force: bool) -> None:
    """Fails before any work is done where the result could not be written.

    Raises:
        OutputError: The destination exists and ``force`` is off, is no bundle, or its parent cannot be written.
    """
    if destination.exists() or destination.is_symlink():
        refuse_to_replace(destination)
        if not force:
            raise OutputError(f"{destination}: exists already", "use --force to replace it, or another --output")
    parent = next(p for p in destination.absolute().parents if p.exists())
    if not parent.is_dir():
        raise OutputError(f"{parent}: is a file, not a directory", "choose another --output")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{parent}: no permission to write there", "choose another --output")


@contextmanager
def staged(destination: Path, force: bool = False) -> Iterator[Staging]:
    """A fresh directory beside ``destination``, gone at the end unless it was published.

    Raises:
        OutputError: See `check_destination`; also a full disk or another failure of the file system.
    """
    check_destination(destination, force)
    created = [p for p in destination.absolute().parents if not p.exists()]
    _recover(destination)
    directory = destination.with_name(f".{destination.name}.{os.getpid()}{PARTIAL}")
    try:
        directory.mkdir(parents=True)
        yield Staging(directory, destination)
    except OSError as error:
        if not _concerns(error, directory):
            raise
        raise OutputError(f"{error.filename or directory}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        _remove_empty(created)


def _concerns(error: OSError, directory: Path) -> bool:
    """Whether an error is about writing the staged directory rather than about something that was read."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}:
        return True
    return isinstance(error.filename, str | Path) and str(error.filename).startswith(str(directory))


def _remove_empty(parents: list[Path]) -> None:
    for parent in parents:
        try:
            parent.rmdir()
        except OSError:
            return


def _recover(destination: Path) -> None:
    """Clears what killed runs left, and puts back a bundle that one of them was about to replace."""
    for left in destination.parent.glob(f".{destination.name}.*{PARTIAL}"):
        pid = left.name.removeprefix(f".{destination.name}.").split(".")[0]
        if pid.isdigit() and _is_running(int(pid)):
            continue
        if ".replaced" in left.name and not destination.exists():
            left.rename(destination)
        else:
            shutil.rmtree(left, ignore_errors=True)


def _is_running(pid: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
