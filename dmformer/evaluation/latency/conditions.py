"""Whether the machine held still while it was measured: clocks, temperature, load, and who else took the cores."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from dmformer.environment import power_source
from dmformer.limits import times_throttled

STAT = Path("/proc/stat")
CPUINFO = Path("/proc/cpuinfo")
CPUS = Path("/sys/devices/system/cpu")
THERMAL = Path("/sys/class/thermal")
SYSTEM = Path("/sys")
THROTTLES = (
    "devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count",
    "class/hwmon/hwmon*/oc*_event_cnt",
)

FREQUENCY_MOVED = 0.05
WARMER_BY = 10.0
FOREIGN_SHARE = 0.03
STOLEN_SHARE = 0.005


@dataclass(frozen=True)
class Reading:
    """The machine at one moment; None where the system does not tell.

    Attributes:
        at_s: `time.perf_counter`.
        busy_s: Seconds that the cores of this process have worked, for whomever, all cores together.
        stolen_s: Seconds that a hypervisor gave to others.
        throttled: How often the control group's limit has stopped this process.
        mhz: Mean clock of the cores.
        celsius: The hottest sensor.
        load: Load average of the last minute.
        hot: How often heat, or too little voltage, has slowed the machine down; see `slowed_by_heat`.
    """

    at_s: float
    busy_s: float | None
    stolen_s: float | None
    throttled: int | None
    mhz: float | None
    celsius: float | None
    load: float | None
    hot: int | None = None


def read() -> Reading:
    """The machine now."""
    busy, stolen = _core_seconds()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Reading(time.perf_counter(), busy, stolen, times_throttled(), _mhz(), _celsius(), load, slowed_by_heat())


def warnings(readings: list[Reading], own_cpu_s: float, cores: int) -> list[str]:
    """In words, everything that moved during a measurement.

    Args:
        readings: In order of time, two at least.
        own_cpu_s: Processor seconds of the measurement's own processes between the first and the last.
        cores: Logical cores that they may use.
    """
    first, last = readings[0], readings[-1]
    said = [
        _foreign(first, last, own_cpu_s, cores),
        _stolen(first, last, cores),
        _throttling(first, last),
        _clocks([reading.mhz for reading in readings if reading.mhz]),
        _slowed(first, last),
        _heat([reading.celsius for reading in readings if reading.celsius]),
        "the machine runs on its battery" if power_source() == "battery" else None,
    ]
    return [line for line in said if line]


def foreign_share(first: Reading, last: Reading, own_cpu_s: float, cores: int) -> float | None:
    """Share of the cores' time that other processes took, 0 to 1."""
    if first.busy_s is None or last.busy_s is None:
        return None
    elapsed = max(last.at_s - first.at_s, 1e-9) * cores
    return max(0.0, (last.busy_s - first.busy_s - own_cpu_s) / elapsed)


def _foreign(first: Reading, last: Reading, own_cpu_s: float, cores: int) -> str | None:
    share = foreign_share(first, last, own_cpu_s, cores)
    if share is None or share <= FOREIGN_SHARE:
        return None
    return f"other processes took {share:.0%} of the cores (load average {last.load or 0:.1f})"


def _stolen(first: Reading, last: Reading, cores: int) -> str | None:
    if first.stolen_s is None or last.stolen_s is None:
        return None
    share = (last.stolen_s - first.stolen_s) / max(last.at_s - first.at_s, 1e-9) / cores
    return f"the hypervisor gave {share:.1%} of the cores' time to others" if share > STOLEN_SHARE else None


def _throttling(first: Reading, last: Reading) -> str | None:
    if first.throttled is None or last.throttled is None or last.throttled == first.throttled:
        return None
    return f"the container's CPU limit stopped this process {last.throttled - first.throttled} times"


def _clocks(values: list[float]) -> str | None:
    if len(values) < 2 or max(values) - min(values) <= FREQUENCY_MOVED * max(values):
        return None
    return f"the CPU's clock moved between {min(values):.0f} and {max(values):.0f} MHz"


def _heat(values: list[float]) -> str | None:
    if len(values) < 2 or max(values) - values[0] <= WARMER_BY:
        return None
    return f"the machine grew warmer, from {values[0]:.0f} to {max(values):.0f} degrees Celsius"


def _slowed(first: Reading, last: Reading) -> str | None:
    if first.hot is None or last.hot is None or last.hot == first.hot:
        return None
    return "heat or too little voltage slowed the machine down meanwhile"


def slowed_by_heat(root: Path = SYSTEM) -> int | None:
    """A number that grows, or changes, when the machine slows itself down; None where it does not tell.

    x86 counts per core and package, a Jetson over-current events, a Raspberry Pi sets bits when it happens.
    """
    counts = [_number(path) for pattern in THROTTLES for path in sorted(root.glob(pattern))]
    bits = root / "devices/platform/soc/soc:firmware/get_throttled"
    with contextlib.suppress(OSError, ValueError):
        counts.append(int(bits.read_text(), 16))
    known = [int(count) for count in counts if count is not None]
    return sum(known) if known else None


def _core_seconds() -> tuple[float | None, float | None]:
    """Busy and stolen seconds of the cores that this process may use."""
    if not STAT.is_file() or not hasattr(os, "sched_getaffinity"):
        return None, None
    wanted = {f"cpu{index}" for index in os.sched_getaffinity(0)}
    tick = os.sysconf("SC_CLK_TCK")
    busy = stolen = 0
    for line in STAT.read_text().splitlines():
        name, *fields = line.split()
        if name in wanted:
            user, nice, system, _idle, _wait, irq, soft, steal = (int(field) for field in fields[:8])
            busy += user + nice + system + irq + soft
            stolen += steal
    return busy / tick, stolen / tick


def _mhz() -> float | None:
    values = [_number(path) for path in CPUS.glob("cpu[0-9]*/cpufreq/scaling_cur_freq")]
    known = [value / 1000 for value in values if value]
    if not known and CPUINFO.is_file():
        lines = [line for line in CPUINFO.read_text(errors="replace").splitlines() if line.startswith("cpu MHz")]
        known = [float(line.split(":")[1]) for line in lines]
    return sum(known) / len(known) if known else None


def _celsius() -> float | None:
    values = [_number(path) for path in THERMAL.glob("thermal_zone*/temp")]
    return max((value / 1000 for value in values if value), default=None)


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None
