"""This machine's limits, measured on the spot, and how far each part of a model stays below them.

The roofline (Williams, Waterman, Patterson, CACM 2009): a part that does few multiply-accumulates for each byte is
limited by memory, one that does many by arithmetic. Memory is as fast as the level that a layer's numbers fit into:
each part is held against copies of blocks as large as its own layers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dmformer.evaluation.layers.parts import Work, work
from dmformer.host import available_cores
from dmformer.model.config import ModelConfig
from dmformer.runtimes.inspection.registry import get_inspector

if TYPE_CHECKING:
    from dmformer.evaluation.latency.document import Layers, PartTime, Peaks, Result

SIDES = (384, 1024)
"""Of the square products: the larger fills all cores, the smaller ends before the system takes a core away."""
SECONDS, LEAST = 0.2, 5
BLOCK_BYTES = tuple((64 << 10) << (2 * step) for step in range(6))
"""Of one copy by one thread, 64 KiB to 64 MiB: from the first level of the caches to far more than all of them hold."""
COPIED_BYTES = 16 << 20
"""By one thread between two looks at the clock, at least."""
FAR, SHORT_MS = 0.1, 0.03
"""A part below a tenth of both limits, whose layers take less than 30 microseconds each, waits for its threads to start
rather than for numbers."""
ELEMENT_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}


def measure_peaks(target: str, threads: int) -> dict[str, Any]:
    """The fields of `dmformer.evaluation.latency.document.Peaks` but its target.

    Args:
        target: The runtime whose matrix products are measured.
        threads: Inside one product; 0 leaves the choice to the runtime, and takes all cores for the copies.
    """
    workers = threads or available_cores()
    rates: dict[str, float] = {}
    for side in SIDES:
        for name, call in get_inspector(target).products(side, threads).items():
            rates[name] = max(rates.get(name, 0.0), side**3 / fastest(call) / 1e9)
    return {
        "gmacs_per_s": rates,
        **copies(workers),
    }


def copies(threads: int) -> dict[str, Any]:
    """The fields of `dmformer.evaluation.latency.document.Peaks` that tell how fast memory is."""
    rates = [(size, copy_rate(size, threads)) for size in BLOCK_BYTES]
    return {
        "copies": rates,
        "copy_gb_per_s": rates[-1][1],
        "cache_gb_per_s": max(rate for _, rate in rates),
        "threads": threads,
    }


def fastest(call: Callable[[], object]) -> float:
    """Seconds of the fastest of many calls: a limit is what is reached when nothing is in the way."""
    best, end, count = float("inf"), time.perf_counter() + SECONDS, 0
    while count < LEAST or time.perf_counter() < end:
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
        count += 1
    return best


def copy_rate(size: int, threads: int) -> float:
    """Bytes read plus bytes written, 10^9 a second, by ``threads`` copies of ``size`` bytes at the same time."""
    repeats = max(1, COPIED_BYTES // size)
    blocks = [(np.zeros(size, np.uint8), np.ones(size, np.uint8)) for _ in range(threads)]

    def copy(pair: tuple[Any, Any]) -> None:
        for _ in range(repeats):
            np.copyto(*pair)

    with ThreadPoolExecutor(threads) as pool:
        seconds = fastest(lambda: list(pool.map(copy, blocks)))
    return 2 * size * repeats * threads / seconds / 1e9


def placed(layers: Layers, result: Result, config: ModelConfig, peaks: Peaks) -> Layers:
    """The same breakdown with work and distance to the peaks for each part that does arithmetic."""
    amounts = work(config, (result.input[2], result.input[3]))
    parts = tuple(_placed(part, amounts.get(part.part), result.batch, peaks) for part in layers.parts)
    return layers.model_copy(update={"parts": parts})


def bound_of(of_compute: float, of_memory: float, layer_ms: float) -> Literal["compute", "memory", "overhead"]:
    """What keeps a part from being faster: the limit that it is nearer to, or neither."""
    if max(of_compute, of_memory) < FAR and layer_ms < SHORT_MS:
        return "overhead"
    return "compute" if of_compute > of_memory else "memory"


def memory_rate(peaks: Peaks, block: float) -> float:
    """10^9 bytes a second that blocks of this many bytes, one for each thread, are copied with at most."""
    # Larger blocks than these never are faster, but for the noise of the measurement.
    fitting = [rate for size, rate in peaks.copies if size >= block / 2]
    return max(fitting, default=peaks.copy_gb_per_s)


def _placed(part: PartTime, amount: Work | None, batch: int, peaks: Peaks) -> PartTime:
    precision = max(part.precision, key=lambda name: part.precision[name], default="float32")
    if amount is None or part.ms == 0 or precision not in peaks.gmacs_per_s:
        return part
    width = ELEMENT_BYTES.get(precision, 4)
    macs, moved = amount.macs * batch, (amount.activations * batch + amount.weights) * width
    block = moved / max(amount.operators, 1) / peaks.threads / 2
    if not macs:
        # Adding and scaling are fused into convolutions where a runtime can: only what it executed by itself counts.
        moved = round(moved * min(1.0, part.layers / max(amount.operators, 1)))
    compute_ms = macs / peaks.gmacs_per_s[precision] / 1e6
    memory_ms = moved / memory_rate(peaks, block) / 1e6
    return part.model_copy(
        update={
            "macs": macs,
            "moved_bytes": moved,
            "gmacs_per_s": macs / part.ms / 1e6,
            "of_compute": compute_ms / part.ms,
            "of_memory": memory_ms / part.ms,
            "bound": bound_of(compute_ms / part.ms, memory_ms / part.ms, part.ms / part.layers),
        }
    )
