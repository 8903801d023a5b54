"""One candidate in a process of its own, and what that can be asked to do."""

from __future__ import annotations

import gc
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dmformer.evaluation.latency import timing
from dmformer.evaluation.latency.candidates import Candidate
from dmformer.evaluation.latency.settings import BenchSettings
from dmformer.evaluation.latency.subject import Subject, load_bundle, memory_mb, open_subject
from dmformer.evaluation.latency.workload import Call, make_call
from dmformer.processes import Process, Say

STEPS = {
    "open": "opening the engine",
    "warm": "warming up",
    "ready": "collecting garbage",
    "slice": "running",
    "end": "ending",
    "layers": "profiling its layers",
    "peaks": "measuring this machine's limits",
}


def start_worker(candidate: Candidate, settings: BenchSettings) -> Process:
    """A fresh process that does `STEPS` for one candidate: the methods of its `Worker`."""
    request = {"candidate": candidate.to_json(), "settings": settings.to_json()}
    hint = "leave it out, or try another version of its library"
    return Process(candidate.name, f"{__name__}:Worker", request, STEPS, hint)


class Worker:
    """What a worker can be asked to do, in this order: `open`, `warm`, `ready` and `slice` again and again, `end`.

    It says nothing in between: its parent sleeps while it measures.
    """

    def __init__(self, request: dict[str, Any], say: Say) -> None:
        self.candidate, self.settings = Candidate(**request["candidate"]), BenchSettings(**request["settings"])
        self._subject: Subject | None = None
        self._calls: list[Call] = []

    def open(self) -> dict[str, Any]:
        """Opens the engine and runs it once."""
        bind = make_call(self.candidate, load_bundle(self.candidate), self.settings, Path(tempfile.gettempdir()))
        before = memory_mb()
        self._subject = subject = open_subject(self.candidate, self.settings)
        self._calls = [bind(subject.run) for _ in range(self.settings.streams)]
        started = time.perf_counter()
        self._calls[0]()
        return {
            "import_ms": subject.import_ms,
            "compile_ms": subject.compile_ms,
            "first_ms": (time.perf_counter() - started) * 1e3,
            "provider": subject.provider,
            "executes": subject.executes,
            "base_rss_mb": before[0] if before else None,
        }

    def warm(self) -> dict[str, Any]:
        """Warms up. Also tells the processor seconds that this process has used so far, all threads."""
        seconds, stable = timing.warm_up(self._calls[0], self.settings.warmup_s)
        return {"seconds": seconds, "stable": stable, "cpu_s": time.process_time()}

    def ready(self) -> dict[str, Any]:
        """Collects garbage: that takes longer than some slices do, and is no part of their energy either."""
        gc.collect()
        return {}

    def slice(self) -> dict[str, Any]:
        """One slice."""
        with timing.no_garbage_collection():
            return asdict(self._slice())

    def _slice(self) -> timing.Slice:
        settings = self.settings
        if len(self._calls) > 1 and self._subject is not None:
            return timing.measure_streams(
                self._calls, self._subject.enter_thread, settings.slice_s, settings.slice_calls
            )
        timing.settle(self._calls[0])
        if settings.fps is not None:
            frames = max(settings.slice_calls, round(settings.slice_s * settings.fps))
            return timing.measure_paced(self._calls[0], frames, settings.fps)
        return timing.measure(self._calls[0], settings.slice_s, settings.slice_calls)

    def end(self) -> dict[str, Any]:
        """The peak of this process's memory so far, MiB, and the processor seconds that it has used, all threads."""
        memory = memory_mb()
        return {"peak_rss_mb": memory[1] if memory else None, "cpu_s": time.process_time()}

    def layers(self) -> dict[str, Any]:
        """Time and precision of every layer, as the runtime's own profiler tells them."""
        from dmformer.evaluation.layers.profile import profile

        return profile(load_bundle(self.candidate), self.candidate.batch, self.settings)

    def peaks(self) -> dict[str, Any]:
        """What this machine gives at most through this runtime; see `dmformer.evaluation.layers.roofline`."""
        from dmformer.evaluation.layers.roofline import measure_peaks

        return measure_peaks(load_bundle(self.candidate).manifest.target, self.settings.threads)
