"""Files read without trusting what they are: devices, FIFOs and what is too large are refused, not waited for."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any


def read_bounded(path: Path, limit: int) -> bytes:
    """The content of a regular file.

    Args:
        path: The file, or a link to it.
        limit: The most bytes that it may have.

    Raises:
        OSError: It cannot be read, is no regular file (EINVAL), or is larger (EFBIG); ``strerror`` says so in words.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        # One byte more than it should have: a file may grow meanwhile.
        content = file.read(min(status.st_size, limit) + 1)
    if max(len(content), status.st_size) > limit:
        size = f"{limit >> 20} MiB" if limit >> 20 else f"{limit} bytes"
        raise OSError(errno.EFBIG, f"is larger than {size}", str(path))
    return content


def _open_at_once(path: str, flags: int) -> int:
    # Opening a FIFO would wait for a writer, and reading a device for ever.
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise OSError(errno.EINVAL, "is no regular file", path)


def read_json(path: Path, limit: int) -> Any:
    """The document in a regular file of at most ``limit`` bytes.

    Raises:
        OSError: See `read_bounded`.
        ValueError: It is no JSON, or nested too deep.
    """
    try:
        return json.loads(read_bounded(path, limit))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def read_toml(path: Path, limit: int) -> dict[str, Any]:
    """The document in a regular file of at most ``limit`` bytes.

    Raises:
        OSError: See `read_bounded`.
        ValueError: It is no TOML, or nested too deep.
    """
    try:
        return parse_toml(read_bounded(path, limit).decode())
    except RecursionError as error:
        raise ValueError(str(error)) from error


def text_of(path: Path) -> str:
    """What the system tells in a small file of its own, without blanks around it; empty where it tells nothing."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def parse_toml(text: str) -> dict[str, Any]:
    """The document of a TOML text.

    Raises:
        ValueError: It is none; also `RecursionError`, where it is nested too deep.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)
