"""The power chip of a Raspberry Pi 5, by ``vcgencmd pmic_read_adc`` (Raspberry Pi documentation, vcgencmd)."""

from __future__ import annotations

import re

from dmformer.tools import output_of

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
    return watts_of(output_of("vcgencmd", "pmic_read_adc", seconds=SECONDS))
