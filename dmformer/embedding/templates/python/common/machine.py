"""Whether this machine is one that the engine was made for."""

from __future__ import annotations

from pathlib import Path

from parameters import CPU_FLAGS

CPUINFO = Path("/proc/cpuinfo")


def check_machine(cpuinfo: Path = CPUINFO) -> None:
    """Raises `RuntimeError` where an 8-bit engine would give wrong sums: its CPU must have one of `CPU_FLAGS`."""
    if CPU_FLAGS and cpuinfo.exists() and not set(CPU_FLAGS) & set(cpuinfo.read_text(errors="replace").split()):
        wanted = ", ".join(CPU_FLAGS)
        raise RuntimeError(f"this INT8 engine is for a CPU with one of {wanted}: sums would saturate on this one")
