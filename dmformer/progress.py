"""Progress as a parameter: library code is handed something that watches its loops, and prints nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


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
