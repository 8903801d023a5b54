"""The rails of a Jetson: by the INA chips that measure them, or by ``tegrastats`` where those cannot be read."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from dmformer.evaluation.power.sensor import Draw
from dmformer.jetson import TOTALS, power_of
from dmformer.reading import text_of
from dmformer.tools import first_line

CHIPS = ("ina3221", "ina238")
MILLI, MICRO = 1e-3, 1e-6
TEGRASTATS_MS = 100


def rails_below(root: Path) -> dict[str, tuple[Path, str]]:
    """The rails that INA chips measure: by their labels the chip's directory and the number of the channel."""
    rails: dict[str, tuple[Path, str]] = {}
    for chip in sorted(root.glob("sys/class/hwmon/hwmon*")):
        if text_of(chip / "name") in CHIPS:
            for label in sorted(chip.glob("in*_label")):
                rails[text_of(label)] = (chip, label.name[2:-6])
    return rails


def total_of(rails: Mapping[str, object]) -> tuple[str, ...] | None:
    """The rails that together are the module's power; None where they are of no known module."""
    return next((names for names in TOTALS if rails.keys() >= set(names)), None)


def read_rails(channels: tuple[tuple[Path, str], ...]) -> float | None:
    """Watts of some rails together, now; None where one cannot be read."""
    try:
        return max(0.0, sum(_watts(chip, channel) for chip, channel in channels))
    except (OSError, ValueError):
        return None


def reader_of(rails: Mapping[str, tuple[Path, str]], names: tuple[str, ...]) -> partial[float | None]:
    """What reads these rails."""
    return partial(read_rails, tuple(rails[name] for name in names))


def _watts(chip: Path, channel: str) -> float:
    """By the chip's own product where it has one, else millivolts times milliamperes."""
    power = chip / f"power{channel}_input"
    if power.exists():
        return int(power.read_text()) * MICRO
    volts = int((chip / f"in{channel}_input").read_text()) * MILLI
    return volts * int((chip / f"curr{channel}_input").read_text()) * MILLI


class Tegrastats:
    """NVIDIA's own tool, which prints a line at an interval; it runs all the time, its lines count during slices only.

    Args:
        tool: Its path.
    """

    name, rate_hz, is_cpu_only = "tegrastats", 1000 / TEGRASTATS_MS, False

    def __init__(self, tool: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - a tool of the system, with fixed arguments
            [tool, "--interval", str(TEGRASTATS_MS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
        self._watts: list[float] | None = None
        self._lock, self._began = threading.Lock(), 0.0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @classmethod
    def here(cls) -> Tegrastats | str | None:
        """The tool, where this machine has it; in words, why it tells of no power."""
        tool = shutil.which("tegrastats")
        if tool is None:
            return None
        line = first_line("tegrastats", "--interval", str(TEGRASTATS_MS))
        if power_of(line) is None:
            return "tegrastats names rails of no known module" if line else "tegrastats prints nothing"
        return cls(tool)

    def start(self) -> None:
        with self._lock:
            self._watts, self._began = [], time.perf_counter()

    def stop(self) -> Draw:
        with self._lock:
            watts, self._watts = self._watts or [], None
            return Draw(tuple(watts), time.perf_counter() - self._began)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            milliwatts = power_of(line)
            with self._lock:
                if milliwatts is not None and self._watts is not None:
                    self._watts.append(milliwatts * MILLI)
