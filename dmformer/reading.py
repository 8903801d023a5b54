"""Small files, read without trusting what they are: devices, FIFOs and files that grow are refused, not waited for."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_bounded(path: Path, limit: int) -> bytes:
    """The content of a regular file.

    Args:
        path: The file, or a link to it.
        limit: The most bytes that it may have.

    Raises:
        OSError: It cannot be read, is no regular file (EINVAL), or is larger (EFBIG).
    """
    # Opening a FIFO would wait for a writer.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"is larger than {limit} bytes", str(path))
    return content
