"""A bounded number of opened engines of one bundle, lent to one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from dmformer.bundle import Bundle
from dmformer.errors import BusyError, UsageError
from dmformer.host import threads_per_stream
from dmformer.runtimes.base import SessionOptions
from dmformer.runtimes.engine import Engine, open_engine

MAX_SESSIONS = 256


class EnginePool:
    """Sessions of one bundle, all opened at the start. Thread-safe.

    Attributes:
        execution: What each of them runs on.

    Sessions of their own rather than one that many threads run: that holds for every runtime, also for those whose
    sessions are not made for several threads. Each holds its own copy of the engine in memory.
    """

    def __init__(self, bundle: Bundle, count: int, options: SessionOptions | None = None) -> None:
        """Opens the sessions.

        Args:
            bundle: Whose engine to open.
            count: How many, 1 to 256. With several and no number of threads given, each gets its share of the cores.
            options: Threads and device.

        Raises:
            UsageError: ``count`` is out of range, or the options are not the runtime's.
            DmformerError: The engine cannot be opened; none stays open.
        """
        if not 1 <= count <= MAX_SESSIONS:
            raise UsageError(f"{count} sessions are not possible", f"give 1 to {MAX_SESSIONS}")
        shared = options or SessionOptions()
        each = replace(shared, threads=threads_per_stream(shared.threads, count))
        self._count = count
        self._closed = False
        self._changed = threading.Condition()
        with ExitStack() as opened:
            self._idle = [opened.enter_context(open_engine(bundle, each)) for _ in range(count)]
            opened.pop_all()
        self.execution = self._idle[0].session.execution

    @contextmanager
    def lend(self, timeout: float | None) -> Iterator[Engine]:
        """An engine that nobody else has until the block ends.

        Args:
            timeout: Seconds to wait for one; None waits for ever.

        Raises:
            BusyError: None became free in time.
            UsageError: The pool is closed, or was closed while waiting.
        """
        engine = self._take(timeout)
        try:
            yield engine
        finally:
            self._give_back(engine)

    def close(self) -> None:
        """Closes the sessions: the idle ones now, those in use when they come back. May be called twice."""
        with self._changed:
            self._closed = True
            left, self._idle = self._idle, []
            self._changed.notify_all()
        for engine in left:
            engine.close()

    def _take(self, timeout: float | None) -> Engine:
        with self._changed:
            if not self._changed.wait_for(lambda: self._idle or self._closed, timeout):
                raise BusyError(
                    f"all {self._count} sessions were in use for {timeout:g} s",
                    "try again later, open more sessions, or wait longer",
                )
            if self._closed:
                raise UsageError("the sessions are closed", "open the bundle again")
            # The one that was used last: its memory is still in the caches.
            return self._idle.pop()

    def _give_back(self, engine: Engine) -> None:
        with self._changed:
            if not self._closed:
                self._idle.append(engine)
                self._changed.notify()
                return
        engine.close()
