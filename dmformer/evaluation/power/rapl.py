"""RAPL: the counters of energy of x86 processors, of Intel and AMD (Linux, Documentation/power/powercap)."""

from __future__ import annotations

import time
from pathlib import Path

from dmformer.evaluation.power.sensor import Draw
from dmformer.reading import text_of

PACKAGES = "sys/class/powercap/intel-rapl:*"
MICRO = 1e-6


class Rapl:
    """All packages of the machine together: processor and what is beside it, not the whole machine.

    Args:
        packages: The directories of their counters.
    """

    name, rate_hz, is_cpu_only = "RAPL, processor packages", None, True

    def __init__(self, packages: list[Path]) -> None:
        self._packages = packages
        self._before, self._began = self._counted(), time.perf_counter()

    def start(self) -> None:
        self._before, self._began = self._counted(), time.perf_counter()

    def stop(self) -> Draw:
        seconds = time.perf_counter() - self._began
        joules = 0.0
        for package, before, after in zip(self._packages, self._before, self._counted(), strict=True):
            # The counter begins anew from 0; it does so once a minute at the earliest.
            joules += (after - before if after >= before else after + self._range(package) - before) * MICRO
        return Draw((joules / seconds,), seconds)

    def close(self) -> None:
        pass

    def _counted(self) -> list[int]:
        return [int((package / "energy_uj").read_text()) for package in self._packages]

    @staticmethod
    def _range(package: Path) -> int:
        return int((package / "max_energy_range_uj").read_text())


def packages_below(root: Path) -> list[Path]:
    """The counters of whole packages; those of their parts are in them, that of the platform holds them."""
    return sorted(path for path in root.glob(PACKAGES) if text_of(path / "name").startswith("package"))
