"""What a control group (a container, a service) lets this process have, in both versions of Linux's control groups.

Formats: ``cgroups(7)``, the kernel's ``Documentation/admin-guide/cgroup-v2.rst`` and ``cgroup-v1/``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

MEMBERSHIP = Path("/proc/self/cgroup")
CGROUP = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60
"""Version 1 writes a number of about this size where there is no limit."""


def cpu_limit() -> float | None:
    """Cores that may be used at the same time, over some time; None where there is no limit."""
    cores = []
    for folder in folders("cpu"):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if not quota:
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            cores.append(int(quota) / int(period))
    return min(cores, default=None)


def memory_limit_bytes() -> int | None:
    """Memory that may be used; None where there is no limit."""
    texts = [_text(folder / name) for folder in folders("memory") for name in ("memory.max", "memory.limit_in_bytes")]
    return min((int(text) for text in texts if text.isdigit() and int(text) < UNLIMITED), default=None)


def times_throttled() -> int | None:
    """How often the limit of the CPU has stopped this process's group; None where nobody counts."""
    for folder in folders("cpu"):
        fields = dict(line.split() for line in _text(folder / "cpu.stat").splitlines() if len(line.split()) == 2)
        if fields.get("nr_throttled", "").isdigit():
            return int(fields["nr_throttled"])
    return None


def folders(controller: str) -> Iterator[Path]:
    """This process's groups for ``cpu`` or ``memory``, the innermost first: every one of them may limit it."""
    for line in _text(MEMBERSHIP).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            roots = [CGROUP, CGROUP / "unified"]
        elif controller in controllers.split(","):
            roots = [CGROUP / controllers, CGROUP / controller]
        else:
            continue
        for root in roots:
            # A container may see the path that its host knows it by: that is not there, and its own group is the root.
            inner = root / path.lstrip("/")
            yield from (folder for folder in (inner, *inner.parents) if folder.is_dir() and folder.is_relative_to(root))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
