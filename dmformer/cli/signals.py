"""SIGTERM, which ends a run as Ctrl-C does. Imports next to nothing, so that the handler is there from the start."""

from __future__ import annotations

import signal
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM, which cleans up as Ctrl-C does."""


def listen() -> None:
    """Lets SIGTERM unwind the stack."""
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
