"""Writing a directory so that it is there whole or not at all.

The work happens in a hidden sibling whose name ends in ``.partial``; a finished directory is renamed into
place. A run that is killed leaves at most such a sibling, which nothing loads and which the next run to
the same destination removes. A folder that is in use is locked: see `dmformer.locks`.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from dmformer.errors import OutputError
from dmformer.files import MAX_BYTES, remove_tree, utf8_name
from dmformer.locks import abandoned, fresh, lock, unlock
from dmformer.reading import read_json
from dmformer.space import FULL, has_room, refusal

PARTIAL = ".partial"
REPLACED = ".replaced"
MANIFEST_FILE = "manifest.json"
OTHER = "choose another --output"
BYTECODE = {"__pycache__"}
"""What Python writes into a project by running it is nobody's work."""


@dataclass(frozen=True)
class Kind:
    """A kind of directory that dmformer makes, and may therefore replace.

    Attributes:
        word: What it is called.
        file: The JSON document in it that says so.
        family: How the ``schema`` of that document begins, whatever its version.
    """

    word: str
    file: str
    family: str

    def marks(self, directory: Path) -> bool:
        """Whether a directory is one of these: web applications have a ``manifest.json`` too."""
        return str(self._document(directory).get("schema")).startswith(self.family)

    def strangers(self, directory: Path) -> Iterator[str]:
        """Files and links that the document does not list: somebody put them there."""
        listed = self._document(directory).get("files")
        known = {self.file, *(map(str, listed) if isinstance(listed, dict | list) else ())}
        for folder, folders, files in os.walk(directory):
            folders[:] = sorted(set(folders) - BYTECODE)
            links = [name for name in folders if (Path(folder) / name).is_symlink()]
            names = [(Path(folder) / name).relative_to(directory).as_posix() for name in sorted(files) + links]
            yield from (name for name in names if name not in known)

    def _document(self, directory: Path) -> dict[str, Any]:
        try:
            document = read_json(directory / self.file, MAX_BYTES)
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}


BUNDLE = Kind("bundle", MANIFEST_FILE, "dmformer.bundle/")
PROJECT = Kind("project", "dmformer.json", "dmformer.project/")


@dataclass(frozen=True)
class Staging:
    """A directory under construction and the place that it is meant for."""

    directory: Path
    destination: Path
    force: bool = False
    kind: Kind = BUNDLE

    def publish(self, destination: Path | None = None) -> Path:
        """Moves the finished directory into place, in the place of its like where that is allowed.

        Args:
            destination: Another place beside the planned one, as for a rejected bundle; a bundle there is replaced.

        Raises:
            OutputError: The place cannot be written, is not of this kind, or another run has filled it meanwhile.
        """
        target = destination or self.destination
        try:
            if target.exists() or target.is_symlink():
                check_destination(target, self.force or target != self.destination, self.kind)
                _swap(self.directory, target)
            else:
                self.directory.rename(target)
        except OSError as error:
            raise OutputError(f"{target}: cannot be written ({error.strerror})") from error
        return target


def _swap(directory: Path, target: Path) -> None:
    """Puts a directory in the place of another, and the other in its place or away.

    One step where the system can; otherwise two, and a run that is killed between them is mended by `_recover`.
    """
    if _exchange(directory, target):
        return
    replaced = target.with_name(f".{target.name}.{secrets.token_hex(8)}{REPLACED}{PARTIAL}")
    held = lock(target)
    try:
        target.rename(replaced)
        try:
            directory.rename(target)
        except OSError:
            replaced.rename(target)
            raise
        remove_tree(replaced)
    finally:
        unlock(held)


def _exchange(one: Path, other: Path) -> bool:
    """Linux's renameat2 with RENAME_EXCHANGE; False where the system or the file system has not got it."""
    if sys.platform != "linux":
        return False
    import ctypes

    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    here, exchange = -100, 2
    return rename is not None and rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def refuse_to_replace(target: Path, kind: Kind = BUNDLE) -> None:
    """Raises `OutputError` where ``target`` is something that dmformer did not make."""
    if target.is_symlink() or not target.is_dir():
        raise OutputError(f"{target}: is not a directory", OTHER)
    if any(target.iterdir()) and not kind.marks(target):
        raise OutputError(
            f"{target}: holds other files and no {kind.word}",
            f"choose another --output; --force replaces {kind.word}s only",
        )
    if others := list(islice(kind.strangers(target), 4)):
        named = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        raise OutputError(
            f"{target}: holds files that its {kind.file} does not list: {named}",
            "move them elsewhere, or choose another --output",
        )


def check_destination(destination: Path, force: bool, kind: Kind = BUNDLE) -> None:
    """Fails before any work is done where the result could not be written.

    Raises:
        OutputError: The destination exists and ``force`` is off, is not of this kind, or its parent cannot be written.
    """
    if destination.name in {"", ".."}:
        raise OutputError(f"{destination}: is no name of a directory to make", OTHER)
    check_parents(destination)
    try:
        # The longest name that is made of it: too long a name is an error now.
        destination.with_name(f".{destination.name}.{'0' * 16}{REPLACED}{PARTIAL}").exists()
        if destination.exists() or destination.is_symlink():
            refuse_to_replace(destination, kind)
            if not force:
                raise OutputError(f"{destination}: exists already", "use --force to replace it, or another --output")
            if destination.is_mount():
                raise OutputError(f"{destination}: a file system is mounted there", "choose an --output inside it")
    except OSError as error:
        raise OutputError(f"{destination}: cannot be written ({error.strerror})", OTHER) from error


def check_parents(destination: Path) -> None:
    """Fails where no directory could be made at a place, whatever it is called.

    Raises:
        OutputError: Says why.
    """
    utf8_name(destination, OTHER)
    parent = next(p for p in destination.absolute().parents if os.path.lexists(p))
    if not parent.is_dir():
        what = "a link to nowhere" if not parent.exists() else "a file"
        raise OutputError(f"{parent}: is {what}, not a directory", OTHER)
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{parent}: no permission to write there", OTHER)
    try:
        # No permission bits tell of a full file system, of one that takes no files of ours, or of too long a name.
        tried = parent / f".dmformer-{secrets.token_hex(8)}{PARTIAL}"
        tried.mkdir()
        tried.rmdir()
        for part in destination.absolute().relative_to(parent).parts:
            (parent / part).exists()
    except OSError as error:
        raise OutputError(f"{destination}: cannot be written ({error.strerror})", OTHER) from error


@contextmanager
def staged(destination: Path, force: bool = False, kind: Kind = BUNDLE) -> Iterator[Staging]:
    """A fresh directory beside ``destination``, gone at the end unless it was published.

    Args:
        destination: Where the directory is to be.
        force: Replace one of the same kind there.
        kind: What is made.

    Raises:
        OutputError: See `check_destination`; also a full disk or another failure of the file system.
    """
    check_destination(destination, force, kind)
    created = [p for p in destination.absolute().parents if not p.exists()]
    directory, held = None, None
    try:
        _recover(destination)
        directory, held = fresh(
            lambda: _made(destination.with_name(f".{destination.name}.{secrets.token_hex(8)}{PARTIAL}"))
        )
        yield Staging(directory, destination, force, kind)
    except Exception as error:
        if (why := _why(error, directory)) is None:
            raise
        # Neither the hidden folder nor the file that was copied from: the user named the destination.
        raise OutputError(f"{destination}: cannot be written ({why})", OTHER) from error
    finally:
        try:
            if directory is not None:
                remove_tree(directory)
        finally:
            unlock(held)
            _remove_empty(created)


def _why(error: Exception, directory: Path | None) -> str | None:
    """Why an error means that the destination cannot be written: also where there is room again by now."""
    system = (error.strerror or str(error)) if isinstance(error, OSError) else None
    if directory is None:
        return system
    # It may name the file that was copied from; of the other place that is written to, that place tells itself.
    full = isinstance(error, OSError) and error.errno in FULL and has_room(Path(tempfile.gettempdir()))
    return refusal(error, directory) or (system if full else None)


def _remove_empty(parents: list[Path]) -> None:
    for parent in parents:
        try:
            parent.rmdir()
        except OSError:
            return


def _recover(destination: Path) -> None:
    """Clears what killed runs left, and puts back a bundle that one of them was about to replace."""
    name = re.compile(rf"\.{re.escape(destination.name)}\.[0-9a-f]+({re.escape(REPLACED)})?{re.escape(PARTIAL)}")
    beside = sorted(destination.parent.iterdir()) if destination.parent.is_dir() else []
    for left in abandoned(path for path in beside if name.fullmatch(path.name) and not path.is_symlink()):
        if left.name.endswith(REPLACED + PARTIAL) and not destination.exists():
            left.rename(destination)
        else:
            remove_tree(left)


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory
