"""The circumstances of a measurement, as a report must name them: machine, limits, power, versions.

Each fact is read where the system offers it and is None (or left out) elsewhere; nothing here fails.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from dmformer import host, limits
from dmformer.fields import Strict
from dmformer.jetson import jetson
from dmformer.reading import text_of
from dmformer.texts import plain
from dmformer.version import __version__

CPUFREQ = Path("/sys/devices/system/cpu/cpu0/cpufreq")
POWER = Path("/sys/class/power_supply")

Text = Annotated[str, AfterValidator(plain)]
"""Safe to print: what is not is replaced, and what is endless cut, whether a machine or a file told it."""
Count = Annotated[int, Field(ge=0, le=1 << 62)]
Ratio = Annotated[float, Field(ge=0, le=1e15)]
"""Any amount that is shown as a figure: none of ours is near the bound."""


class Environment(Strict):
    """One machine at one moment.

    Attributes:
        cpu: The processor's own name.
        cpu_isa: Instruction sets that matter, see `dmformer.host.ISA_FLAGS`.
        cores: Logical cores that this process may keep busy; ``cores_online`` those that the machine has.
        governor: The CPU frequency governor, as ``performance``.
        frequency_mhz: Lowest and highest frequency that the CPU is allowed.
        memory_bytes: Physical memory.
        gpu: Name, compute capability and driver of the first NVIDIA GPU.
        jetson: Module, release, power mode, clocks and state, where this is a Jetson; see `dmformer.jetson`.
        os: System, release and machine.
        power: ``mains``, ``battery`` or None where there is nothing to tell.
        virtual: The hypervisor or container, or None on bare metal.
        cpu_limit: Cores that the control group allows; ``memory_limit_bytes`` likewise.
        thread_variables: Variables that say how many threads PyTorch takes, as ``OMP_NUM_THREADS``.
        python: Version; ``packages`` those of the libraries that matter.
    """

    cpu: Text
    cpu_isa: tuple[Text, ...]
    cores: Count
    cores_online: Count
    governor: Text | None = None
    frequency_mhz: tuple[Ratio, Ratio] | None = None
    memory_bytes: Count | None = None
    gpu: Text | None = None
    jetson: dict[Text, Text] = Field(default_factory=dict)
    os: Text
    power: Text | None = None
    virtual: Text | None = None
    cpu_limit: Ratio | None = None
    memory_limit_bytes: Count | None = None
    thread_variables: dict[Text, Text] = Field(default_factory=dict)
    python: Text
    packages: dict[Text, Text] = Field(default_factory=dict)


def environment() -> Environment:
    """This machine, now."""
    cpu = host.cpu()
    return Environment(
        cpu=cpu.name,
        cpu_isa=cpu.isa,
        cores=host.available_cores(),
        cores_online=os.cpu_count() or host.schedulable_cores(),
        governor=_read(CPUFREQ / "scaling_governor"),
        frequency_mhz=_frequencies(),
        memory_bytes=host.memory_bytes(),
        gpu=host.nvidia_gpu(),
        jetson=jetson(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        power=power_source(),
        virtual=_virtual(),
        cpu_limit=limits.cpu_limit(),
        memory_limit_bytes=limits.memory_limit_bytes(),
        thread_variables={name: value[:100] for name, value in host.thread_variables().items()},
        python=platform.python_version(),
        packages={"dmformer": __version__, **host.library_versions("numpy", "pillow", "torch")},
    )


def power_source() -> str | None:
    """``mains`` or ``battery`` where the machine has a battery or an adapter to tell, else None."""
    supplies = sorted(POWER.glob("*")) if POWER.is_dir() else []
    kinds = {path: _read(path / "type") for path in supplies}
    if any(kind in ("Mains", "USB") and _read(path / "online") == "1" for path, kind in kinds.items()):
        return "mains"
    if any(kind == "Battery" and _read(path / "status") == "Discharging" for path, kind in kinds.items()):
        return "battery"
    return "mains" if "Mains" in kinds.values() else None


def _read(path: Path) -> str | None:
    return text_of(path) or None


def _frequencies() -> tuple[float, float] | None:
    low, high = _read(CPUFREQ / "scaling_min_freq"), _read(CPUFREQ / "scaling_max_freq")
    return (int(low) / 1000, int(high) / 1000) if low and high and low.isdigit() and high.isdigit() else None


def _virtual() -> str | None:
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return "container"
    product = _read(Path("/sys/class/dmi/id/product_name"))
    flags = host.CPUINFO.read_text(errors="replace") if host.CPUINFO.exists() else ""
    return f"virtual machine ({product or 'unnamed'})" if " hypervisor" in flags else None
