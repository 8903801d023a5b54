"""Saying that a directory or a file is in use, so that no other run takes it for a dead one's, not even in another
container.

The lock is on the directory or file itself: it follows renames, ends with the process however that ends, and leaves no
file.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

AGE_S = 24 * 3600.0
"""Where nothing can be locked (some network file systems), what is older than this is taken for a dead run's."""


def lock(path: Path) -> int | None:
    """Locks a directory or a regular file; what `unlock` takes, or None where the system cannot lock.

    Raises:
        OSError: Another holds it, or it is gone.
    """
    try:
        import fcntl
    except ImportError:  # no Unix
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(descriptor), path.stat()):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    except OSError as error:
        os.close(descriptor)
        if error.errno in {errno.EWOULDBLOCK, errno.ENOENT}:
            raise
        return None
    return descriptor


def fresh(make: Callable[[], Path]) -> tuple[Path, int | None]:
    """Makes something under a name that no other run has, and the lock that says it is in use."""
    while True:
        path = make()
        try:
            return path, lock(path)
        except OSError:
            # Between the two another run took it for a dead one's and is removing it.
            if path.exists() and not _is_locked(path):
                raise


def abandoned(paths: Iterable[Path]) -> Iterator[Path]:
    """Those that no run holds any more; each is locked for as long as it is looked at."""
    for path in paths:
        try:
            held = lock(path)
        except OSError:  # in use, or gone
            continue
        try:
            if held is not None or _is_old(path):
                yield path
        finally:
            unlock(held)


def _is_locked(path: Path) -> bool:
    """Whether another holds it."""
    try:
        unlock(lock(path))
    except OSError:
        return True
    return False


def unlock(descriptor: int | None) -> None:
    """Gives a lock back."""
    if descriptor is not None:
        os.close(descriptor)


def _is_old(path: Path) -> bool:
    """Whether what cannot be locked is surely nobody's any more."""
    try:
        return time.time() - path.stat().st_mtime > AGE_S
    except OSError:  # gone
        return False
