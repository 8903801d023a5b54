"""The measuring itself: warming up, and one slice of calls with the clock around each."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dmformer.evaluation.latency.workload import Call

NS = 1_000_000_000
STABLE = 0.02
"""Largest spread of the last windows' medians, relative to their mean, that counts as warmed up."""
WINDOWS = 3
WINDOW_S, WINDOW_CALLS = 0.05, 3
SETTLE_NS = 5_000_000
"""After an idle time caches are cold and the CPU may have slowed down: so long a slice runs unmeasured."""


@dataclass
class Slice:
    """What one slice gave.

    Attributes:
        calls_ns: Nanoseconds of each call.
        wall_ns: Nanoseconds from the first call to the end of the last, all streams together.
        late: Paced frames that were not done when the next one came.
    """

    calls_ns: list[int] = field(default_factory=list)
    wall_ns: int = 0
    late: int = 0


def warm_up(call: Call, limit_s: float) -> tuple[float, bool]:
    """Calls until the medians of successive windows agree within 2 %.

    Returns:
        The seconds that it took, and whether it became stable before ``limit_s``.
    """
    started = time.perf_counter()
    medians: list[float] = []
    while True:
        medians.append(statistics.median(measure(call, WINDOW_S, WINDOW_CALLS).calls_ns))
        last = medians[-WINDOWS:]
        if len(last) == WINDOWS and max(last) - min(last) <= STABLE * statistics.fmean(last):
            return time.perf_counter() - started, True
        if time.perf_counter() - started >= limit_s:
            return time.perf_counter() - started, False


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Keeps Python's collector out of the measured time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def settle(call: Call) -> None:
    """Unmeasured calls at the start of a slice: one at least."""
    end = time.perf_counter_ns() + SETTLE_NS
    call()
    while time.perf_counter_ns() < end:
        call()


def measure(call: Call, seconds: float, calls: int) -> Slice:
    """Calls again and again, for ``seconds`` and ``calls`` at least."""
    clock = time.perf_counter_ns
    taken: list[int] = []
    begin = clock()
    end = begin + int(seconds * NS)
    while True:
        before = clock()
        call()
        after = clock()
        taken.append(after - before)
        if after >= end and len(taken) >= calls:
            return Slice(taken, after - begin)


def measure_paced(call: Call, frames: int, fps: float) -> Slice:
    """Calls once for each frame of a camera and sleeps in between; a frame that comes during a call waits for it."""
    clock, period = time.perf_counter_ns, int(NS / fps)
    times = Slice()
    begin = clock()
    for frame in range(frames):
        due = begin + frame * period
        idle = due - clock()
        if idle > 0:
            time.sleep(idle / NS)
        before = clock()
        call()
        after = clock()
        times.calls_ns.append(after - before)
        times.late += after > due + period
    times.wall_ns = max(clock() - begin, frames * period)
    return times


def measure_streams(calls: list[Call], enter: Callable[[], None], seconds: float, least: int) -> Slice:
    """As `measure`, in one thread for each call; ``least`` counts for each of them."""
    parts: list[Slice] = []
    failures: list[BaseException] = []
    barrier = threading.Barrier(len(calls))

    def work(call: Call) -> None:
        try:
            enter()
            settle(call)
            barrier.wait()
            parts.append(measure(call, seconds, least))
        except BaseException as error:  # handed over to the caller's thread
            barrier.abort()
            failures.append(error)

    threads = [threading.Thread(target=work, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise next((e for e in failures if not isinstance(e, threading.BrokenBarrierError)), failures[0])
    return Slice([taken for part in parts for taken in part.calls_ns], max(part.wall_ns for part in parts))
