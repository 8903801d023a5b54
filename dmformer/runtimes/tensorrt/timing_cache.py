"""The builder's timing cache as a file: kernels that were timed once on this GPU by this version are not timed again.

With the same cache the same graph gives the same choice of kernels, which is what makes builds comparable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from dmformer.errors import OutputError, UsageError
from dmformer.files import user_cache, write_atomically
from dmformer.reading import read_bounded
from dmformer.runtimes.tensorrt.gpu import Gpu

MAX_CACHE_BYTES = 1 << 28


@dataclass(frozen=True)
class TimingCache:
    """A cache file; it need not exist yet."""

    path: Path

    def read(self) -> bytes:
        """Its content; empty where there is none yet.

        Raises:
            UsageError: It cannot be read, is no file, or far too large.
        """
        try:
            return read_bounded(self.path, MAX_CACHE_BYTES)
        except FileNotFoundError:
            return b""
        except OSError as error:
            hint = "name another --timing-cache, or delete it"
            raise UsageError(f"{self.path}: is no timing cache ({error.strerror})", hint) from error

    def write(self, content: bytes) -> None:
        """Replaces it in one step.

        Raises:
            OutputError: It cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, content)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror})", "name another file") from error


def default_cache(version: str, gpu: Gpu) -> TimingCache | None:
    """The user's own cache for one version of the library on one kind of GPU; None for a user without a home."""
    directory = user_cache()
    if directory is None:
        return None
    key = re.sub(r"[^A-Za-z0-9.]+", "-", f"tensorrt-{version}-{gpu.name}-sm{gpu.compute_capability}").lower()
    return TimingCache(directory / "timing" / f"{key}.cache")
