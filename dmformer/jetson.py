"""What a Jetson says of itself, by NVIDIA's own files and tools, shortened to what a report needs.

Formats: NVIDIA Jetson Linux Developer Guide, "Jetson Platform Power Management" (nvpmodel, jetson_clocks) and
"tegrastats Utility".
"""

from __future__ import annotations

import re
from pathlib import Path

from dmformer.reading import text_of
from dmformer.tools import first_line, output_of

RELEASE = Path("/etc/nv_tegra_release")
MODEL = Path("/proc/device-tree/model")
TOTALS = (
    ("VIN",),  # Thor
    ("VDD_IN",),  # Orin NX and Nano, Xavier NX, TX2
    ("POM_5V_IN",),  # Nano, TX1
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),  # AGX Orin
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),  # AGX Xavier
)
"""The rails that together are a module's power, by module, the input before what it feeds."""
LONGEST = 1000
"""Characters of one fact."""


def jetson() -> dict[str, str]:
    """Module, release, power mode, clocks, and how busy and warm it is; empty where this is no Jetson."""
    release = text_of(RELEASE)
    if not release:
        return {}
    facts = {
        "module": text_of(MODEL).strip("\0"),
        "release": release_of(release),
        "power mode": power_mode_of(output_of("nvpmodel", "-q")),
        "clocks": clocks_of(output_of("jetson_clocks", "--show")),
        "state": state_of(first_line("tegrastats", "--interval", "200")),
    }
    return {name: " ".join(text.split())[:LONGEST] for name, text in facts.items() if text}


def release_of(text: str) -> str:
    """``Jetson Linux 36.3.0`` of the line in ``/etc/nv_tegra_release``; the line itself where it looks otherwise."""
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", text)
    return f"Jetson Linux {match.group(1)}.{match.group(2)}" if match else text


def power_mode_of(text: str) -> str:
    """``MAXN`` of what ``nvpmodel -q`` says."""
    match = re.search(r"NV Power Mode:\s*(\S+)", text)
    return match.group(1) if match else ""


def clocks_of(text: str) -> str:
    """Ranges of the clocks, as ``CPU 729 to 1510 MHz (schedutil), GPU 306 to 625 MHz``, of ``jetson_clocks --show``."""
    cpus = [line for line in text.splitlines() if re.match(r"cpu\d+:", line) and "Online=0" not in line]
    facts = []
    if cpus:
        governors = sorted({name for line in cpus for name in re.findall(r"Governor=(\S+)", line)})
        facts.append(f"CPU {_range(cpus, 1e3)} ({', '.join(governors) or 'no governor'}), {len(cpus)} cores on")
    for unit in ("GPU", "EMC"):
        lines = [line for line in text.splitlines() if line.startswith(unit)]
        if lines and "MaxFreq" in lines[0]:
            facts.append(f"{unit} {_range(lines, 1e6)}")
    return ", ".join(facts)


def _range(lines: list[str], unit: float) -> str:
    """``306 to 625 MHz`` of lines with ``MinFreq=`` and ``MaxFreq=``, which hold ``unit`` for a MHz."""
    low = min((int(value) for line in lines for value in re.findall(r"MinFreq=(\d+)", line)), default=0)
    high = max((int(value) for line in lines for value in re.findall(r"MaxFreq=(\d+)", line)), default=0)
    return f"{high / unit:.0f} MHz" if low == high else f"{low / unit:.0f} to {high / unit:.0f} MHz"


def state_of(text: str) -> str:
    """Memory, GPU load, the warmest sensor and the power drawn, of a line of ``tegrastats``."""
    facts = []
    if match := re.search(r"RAM (\d+)/(\d+)MB", text):
        facts.append(f"memory {match.group(1)} of {match.group(2)} MB")
    if match := re.search(r"GR3D_FREQ (\d+)%", text):
        facts.append(f"GPU {match.group(1)} % busy")
    if warm := [float(value) for value in re.findall(r"@(-?[\d.]+)C\b", text)]:
        facts.append(f"{max(warm):.0f} degrees Celsius at the warmest sensor")
    if (milliwatts := power_of(text)) is not None:
        facts.append(f"{milliwatts / 1000:.1f} W")
    return ", ".join(facts)


def power_of(text: str) -> int | None:
    """Milliwatts that the module draws, of a line of ``tegrastats``: its input's, or the sum of what that feeds.

    None where the rails are of no known module: the sum of some of them would not be the module's.
    """
    rails = {name: int(value) for name, value in re.findall(r"\b([A-Z][A-Z0-9_]*) (\d{1,9})(?:mW)?/\d+", text)}
    known = next((names for names in TOTALS if rails.keys() >= set(names)), None)
    return None if known is None else sum(rails[name] for name in known)
