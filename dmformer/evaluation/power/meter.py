"""Measures what is drawn while slices run, in the process that waits for them: the measured one is not disturbed."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypeVar

from dmformer.evaluation.power.sensor import Draw, Sensor

T = TypeVar("T")
IDLE_S = 1.0
"""How long the machine is watched before anything starts."""


class Meter:
    """A context manager around a measurement.

    Args:
        sensor: What it reads, or why there is nothing to read.
    """

    def __init__(self, sensor: Sensor | str) -> None:
        self.sensor = None if isinstance(sensor, str) else sensor
        self.why = sensor if isinstance(sensor, str) else None
        self.idle: Draw | None = None

    def during(self, work: Callable[[], T]) -> tuple[T, Draw | None]:
        """Does something; what came of it, and what was drawn meanwhile."""
        sensor = self.sensor
        if sensor is None:
            return work(), None
        # A sensor that fails meanwhile costs its own figures, never the measurement.
        draw: Draw | None = None
        with contextlib.suppress(OSError, ValueError):
            sensor.start()
        try:
            done = work()
        finally:
            with contextlib.suppress(OSError, ValueError):
                draw = sensor.stop()
        return done, draw

    def __enter__(self) -> Meter:
        self.idle = self.during(lambda: time.sleep(IDLE_S))[1] if self.sensor is not None else None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.sensor is not None:
            self.sensor.close()


def spread(values: Sequence[float]) -> tuple[float, float, float] | None:
    """Smallest, median and largest; None where there are no values."""
    return (min(values), statistics.median(values), max(values)) if values else None


def energy_per_call(draw: Draw, call_s: float) -> float | None:
    """Joules of one call, of what was drawn while such calls ran one after another.

    Args:
        draw: During a slice.
        call_s: Seconds of wall time for each call in it.
    """
    return statistics.fmean(draw.watts) * call_s if draw.watts else None
