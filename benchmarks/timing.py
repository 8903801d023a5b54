"""Timing of several candidates side by side: short slices in turn, so that drift of the machine hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

WARM_UP_S = 0.5


def interleaved_ms(
    candidates: Mapping[str, Callable[[], object]], rounds: int = 15, slice_s: float = 0.25
) -> dict[str, float]:
    """Median milliseconds of one call, over all slices.

    Args:
        candidates: What to call, by name.
        rounds: Slices for each candidate.
        slice_s: Length of a slice in seconds; at least three calls are made.
    """
    for call in candidates.values():
        _slice(call, WARM_UP_S)
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            samples[name] += _slice(call, slice_s)
    return {name: statistics.median(values) * 1e3 for name, values in samples.items()}


def _slice(call: Callable[[], object], seconds: float) -> list[float]:
    durations: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(durations) < 3:
        begin = time.perf_counter()
        call()
        durations.append(time.perf_counter() - begin)
    return durations


def machine() -> str:
    """The processor and what it is doing, for the head of a table."""
    from dmformer.host import available_cores, cpu

    load = Path("/proc/loadavg").read_text().split()[0] if Path("/proc/loadavg").exists() else "unknown"
    return f"{cpu().name}, {available_cores()} cores, {', '.join(cpu().isa)}; load before the run {load}"
