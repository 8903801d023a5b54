"""Progress as a parameter: library code is handed something that watches its loops, and prints nothing itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")
MEASURED_S, LONG_S = 2.0, 30.0
"""After how long the rest is foretold, and from how much on it is worth a line."""


class Progress(Protocol):
    """Watches the work. `silent` is the default everywhere; the command line brings a bar."""

    def track(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        """Passes ``items`` through, ``total`` of them, under a short description."""

    def say(self, message: str) -> None:
        """Tells a fact that the user should know, in one line."""


class Silent:
    """Watches nothing."""

    def track(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        yield from items

    def say(self, message: str) -> None:
        pass


def foretold(
    items: Iterable[T],
    total: int,
    what: str,
    progress: Progress,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[T]:
    """Passes batches of images through, and says after the first few how long all will take, where that is long.

    Args:
        items: The batches.
        total: How many there are.
        what: What is done with them.
        progress: Told once.
        clock: Seconds.
    """
    start, told = 0.0, False
    for done, item in enumerate(items):
        yield item
        if done == 0:
            start = clock()  # The first takes longer: libraries are loaded, memory is made ready.
        elif not told and (taken := clock() - start) >= MEASURED_S:
            told, whole = True, taken / done * total
            if whole >= LONG_S:
                progress.say(f"{what}: about {_duration(whole)}; --max-images takes fewer images")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
