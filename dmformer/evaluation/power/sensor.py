"""What a sensor of power is, and the ones that are read again and again while a slice runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

FIRST_S, INTERVAL_S = 0.01, 0.05
"""Before the first, and between two readings of a sensor that shows the power of the moment."""


@dataclass(frozen=True)
class Draw:
    """What was drawn while something ran.

    Attributes:
        watts: Readings in order of time; of a counter of energy their mean alone.
        seconds: How long it ran.
    """

    watts: tuple[float, ...]
    seconds: float


class Sensor(Protocol):
    """One sensor on board. Read between `start` and `stop` only; `close` ends it."""

    @property
    def name(self) -> str: ...

    @property
    def rate_hz(self) -> float | None:
        """Readings a second; None where it counts energy, so that every moment is in it."""

    @property
    def is_cpu_only(self) -> bool:
        """Whether it sees the processor alone: nothing of what runs on a GPU."""

    def start(self) -> None: ...

    def stop(self) -> Draw: ...

    def close(self) -> None: ...


class Sampled:
    """A sensor of the power of the moment, read by a thread that sleeps in between.

    Args:
        name: Of the sensor.
        read: Gives watts, or None where it cannot be read now.
        interval_s: Seconds between two readings.
    """

    def __init__(self, name: str, read: Callable[[], float | None], interval_s: float = INTERVAL_S) -> None:
        self.name, self.rate_hz = name, 1 / interval_s
        self._read, self._interval = read, interval_s
        self._over = threading.Event()
        self._watts: list[float] = []
        self._thread: threading.Thread | None = None
        self._began = 0.0

    is_cpu_only = False

    def start(self) -> None:
        self._watts, self._began = [], time.perf_counter()
        self._over.clear()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> Draw:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        return Draw(tuple(self._watts), time.perf_counter() - self._began)

    def close(self) -> None:
        self._over.set()

    def _sample(self) -> None:
        # What runs has begun by then.
        wait = FIRST_S
        while not self._over.wait(wait):
            wait = self._interval
            watts = self._read()
            if watts is not None:
                self._watts.append(watts)
