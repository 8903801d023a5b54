"""Writing one file, whole or not at all and never over something that the user did not name, and removing a folder.

Links are followed and the real file is replaced; a device or a FIFO is written into and stays what it is.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

from dmformer.errors import OutputError
from dmformer.locks import abandoned, fresh, unlock

Ours = Callable[[bytes], bool]
"""Whether the content of an existing file is such that dmformer wrote it, and may therefore replace it."""
TEMPORARY = re.compile(r"\.dmformer-[0-9a-f]{16}\.partial")
MAX_BYTES = 1 << 28
"""No document of ours is larger."""


def document_of(family: str) -> Ours:
    """What knows JSON documents by how their ``schema`` begins."""

    def ours(content: bytes) -> bool:
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            return False
        return isinstance(document, dict) and str(document.get("schema")).startswith(family)

    return ours


def marked(mark: str) -> Ours:
    """What knows pages and pictures by a mark in them."""
    return lambda content: mark.encode() in content


def check_output(
    path: Path,
    ours: Ours | None = None,
    force: bool | None = False,
    inputs: Iterable[Path] = (),
    option: str = "--output",
) -> None:
    """Fails before any work is done where `write_output` could not write.

    Args:
        path: The file to be written; a device or a FIFO may stand there.
        ours: Knows the files that are replaced without ``force``; None where there are none.
        force: Replace any regular file that is no input; None where the user is not asked.
        inputs: Files and folders that are read, so that nothing of them is ever replaced.
        option: What named the place, for the hint.

    Raises:
        OutputError: Says why.
    """
    other = f"choose another {option}"
    try:
        utf8_name(path, other)
        status = _status(path)
        if status is None:
            _check_folder(path, _real(path).parent, other)
        elif not stat.S_ISREG(status.st_mode):
            _check_special(path, status.st_mode, other)
        else:
            _check_regular(path, ours, force, inputs, other)
    except OSError as error:
        _refuse(path, error, other)


def write_output(
    path: Path, content: bytes, ours: Ours | None = None, force: bool | None = False, option: str = "--output"
) -> None:
    """Writes a file for the user; checks again, because another may have filled the place meanwhile.

    Raises:
        OutputError: See `check_output`; also a full disk, or a FIFO that nobody reads.
    """
    check_output(path, ours, force, option=option)
    try:
        write_atomically(path, content)
    except OSError as error:
        _refuse(path, error, f"choose another {option}")


def write_atomically(path: Path, content: bytes) -> None:
    """Writes to a hidden sibling and renames it; what is no regular file is written into.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    status = _status(path)
    if status is not None and not stat.S_ISREG(status.st_mode):
        _write_into(path, content)
        return
    real = _real(path)
    _sweep(real.parent)
    temporary, held = fresh(lambda: _made(real.parent))
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if status is not None:
            temporary.chmod(stat.S_IMODE(status.st_mode))
        temporary.replace(real)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    finally:
        unlock(held)


def _made(folder: Path) -> Path:
    """Not named after the file, whose name may be as long as names can be."""
    path = folder / f".dmformer-{secrets.token_hex(8)}.partial"
    path.open("xb").close()
    return path


def _sweep(folder: Path) -> None:
    """Removes what killed runs left half-written."""
    partials = [path for path in folder.glob(".dmformer-*.partial") if TEMPORARY.fullmatch(path.name)]
    for left in abandoned(path for path in partials if path.is_file() and not path.is_symlink()):
        with contextlib.suppress(OSError):
            left.unlink()


def user_cache() -> Path | None:
    """The user's cache directory for this project; None for a user without a home, as in many containers."""
    import platformdirs

    try:
        return Path(platformdirs.user_cache_dir("dmformer", appauthor=False))
    except RuntimeError:
        return None


def utf8_name(path: Path, hint: str) -> None:
    """Refuses a name that JSON documents and the runtimes cannot hold, before they do so after the work."""
    shown = os.fsencode(path).decode(errors="backslashreplace")
    if shown != str(path):
        raise OutputError(f"{shown}: the name is no UTF-8", hint)


def _write_into(path: Path, content: bytes) -> None:
    """Opens without waiting: a FIFO that nobody reads is an error (ENXIO) instead of a wait for ever."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _check_folder(path: Path, folder: Path, hint: str) -> None:
    if not folder.exists():
        raise OutputError(f"{path}: cannot be written (there is no folder {folder})", f"make the folder, or {hint}")
    if not folder.is_dir():
        raise OutputError(f"{path}: cannot be written ({folder} is a file, not a directory)", hint)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: cannot be written (no permission in {folder})", hint)


def _check_special(path: Path, mode: int, hint: str) -> None:
    """Devices that take bytes and FIFOs are written into. A FIFO's reader may yet come: it is not opened here."""
    if stat.S_ISDIR(mode):
        raise OutputError(f"{path}: is a directory, not a file", hint)
    if not (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)):
        raise OutputError(f"{path}: is no file", hint)
    if not os.access(path, os.W_OK):
        raise OutputError(f"{path}: no permission to write there", hint)


def _check_regular(path: Path, ours: Ours | None, force: bool | None, inputs: Iterable[Path], hint: str) -> None:
    real = _real(path)
    known = ours is not None and _is_ours(real, ours)
    for given in inputs:
        within = real.is_relative_to(_real(given)) and not known
        if within or (given.exists() and given.samefile(real)):
            raise OutputError(f"{path}: is an input, and would be lost", hint)
    if not force and not known:
        raise OutputError(f"{path}: exists already", hint if force is None else f"{hint}, or use --force to replace it")
    _check_folder(path, real.parent, hint)
    if not os.access(real, os.W_OK):
        raise OutputError(f"{path}: is read-only", hint)


def _is_ours(path: Path, ours: Ours) -> bool:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    return len(content) <= MAX_BYTES and ours(content)


def _refuse(path: Path, error: OSError, hint: str) -> NoReturn:
    why = "nobody reads it" if error.errno == errno.ENXIO else error.strerror or error
    raise OutputError(f"{path}: cannot be written ({why})", hint) from error


def remove_tree(directory: Path) -> None:
    """Removes a directory with all that is in it, as far as that can be done: also when it is stopped meanwhile.

    Raises:
        KeyboardInterrupt: It was; the directory is gone nevertheless.
    """
    try:
        shutil.rmtree(directory, ignore_errors=True)
    except KeyboardInterrupt:
        shutil.rmtree(directory, ignore_errors=True)
        raise
