"""Saying that a directory is in use, so that no other run takes it for a dead one's, not even in another container.

The lock is on the directory itself: it follows renames, ends with the process however that ends, and leaves no file.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

AGE_S = 24 * 3600.0
"""Where nothing can be locked (some network file systems), what is older than this is taken for a dead run's."""


def lock(directory: Path) -> int | None:
    """Locks a directory; what `unlock` takes, or None where the system cannot lock.

    Raises:
        OSError: Another holds it, or it is gone.
    """
    try:
        import fcntl
    except ImportError:  # no Unix
        return None
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(descriptor), directory.stat()):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(directory))
    except OSError as error:
        os.close(descriptor)
        if error.errno in {errno.EWOULDBLOCK, errno.ENOENT}:
            raise
        return None
    return descriptor


def is_locked(directory: Path) -> bool:
    """Whether another holds it."""
    try:
        unlock(lock(directory))
    except OSError:
        return True
    return False


def unlock(descriptor: int | None) -> None:
    """Gives a lock back."""
    if descriptor is not None:
        os.close(descriptor)


def is_old(directory: Path) -> bool:
    """Whether a directory that cannot be locked is surely nobody's any more."""
    return time.time() - directory.stat().st_mtime > AGE_S
