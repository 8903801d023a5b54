"""What `dmformer.runtimes.child` lets a process of its own do: build an engine, try it, time it."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle, read_manifest
from dmformer.engine_input import from_tensors
from dmformer.processes import Say
from dmformer.runtimes.base import EngineRequest, Session, SessionOptions
from dmformer.runtimes.registry import get_runtime

WARM_UP_S, TIMED_S = 0.3, 1.0
"""Of a timing: enough for the clocks of a GPU to rise, and for hundreds of inferences."""


class Builder:
    """Builds the engine of a request."""

    def __init__(self, task: dict[str, Any], say: Say) -> None:
        self._task, self._say = task, say

    def build(self) -> dict[str, Any]:
        runtime, request = get_runtime(self._task["target"]), EngineRequest(**self._task["request"])
        return asdict(runtime.build_engine(request, self._watch))

    def _watch(self, step: str, done: float) -> None:
        self._say({"step": f"building the engine ({step})", "done": round(done, 3)})


class Trial:
    """Runs golden samples of an assembled bundle."""

    def __init__(self, task: dict[str, Any], say: Say) -> None:
        directory = Path(task["bundle"])
        self._bundle, self._say = Bundle(directory, read_manifest(directory)), say

    def attempt(self) -> dict[str, Any]:
        """One inference."""
        with self._opened() as (session, batch):
            session.run(batch)
        return {}

    def clock(self) -> dict[str, Any]:
        """Median milliseconds of an inference, after a warm-up."""
        with self._opened() as (session, batch):
            timed(session, batch, WARM_UP_S)
            return {"ms": statistics.median(timed(session, batch, TIMED_S)) * 1e3}

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Session, NDArray[Any]]]:
        manifest, samples = self._bundle.manifest, self._bundle.golden().tensors
        batch = from_tensors(manifest, np.resize(samples, (manifest.input.shape[0] or 1, *samples.shape[1:])))
        self._say({"step": "compiling the engine"})
        with get_runtime(manifest.target).open(self._bundle, SessionOptions()) as session:
            self._say({"step": "running the engine"})
            yield session, batch


def timed(session: Session, batch: NDArray[Any], seconds: float) -> list[float]:
    """Seconds of each inference in a stretch of time; at least one."""
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while not taken or time.perf_counter() < end:
        begin = time.perf_counter()
        session.run(batch)
        taken.append(time.perf_counter() - begin)
    return taken
