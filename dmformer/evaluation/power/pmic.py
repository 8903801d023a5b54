"""The power chip of a Raspberry Pi 5, by ``vcgencmd pmic_read_adc`` (Raspberry Pi documentation, vcgencmd)."""

from __future__ import annotations

import re
import shutil
import subprocess

SECONDS = 2.0
LINE = re.compile(r"^\s*(\w+)_([AV])\s+\w+\(\d+\)=([\d.]+)[AV]\s*$", re.MULTILINE)
INTERVAL_S = 0.1
"""Each reading starts a process: more of them would be seen in the latency."""


def watts_of(text: str) -> float | None:
    """The sum over all rails that have both a current and a voltage, of what the tool prints."""
    seen: dict[str, dict[str, float]] = {}
    for rail, unit, value in LINE.findall(text):
        seen.setdefault(rail, {})[unit] = float(value)
    whole = [one["A"] * one["V"] for one in seen.values() if len(one) == 2]
    return sum(whole) if whole else None


def read_pmic() -> float | None:
    """Watts of the rails now; None where this is no Raspberry Pi 5, or it cannot be read."""
    tool = shutil.which("vcgencmd")
    if tool is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - a tool of the system, with fixed arguments
            [tool, "pmic_read_adc"], capture_output=True, text=True, errors="replace", check=False, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return watts_of(done.stdout) if done.returncode == 0 else None
