"""The process of one candidate, which `dmformer.evaluation.latency.process` starts.

Reads one JSON request from each line of its standard input and answers with one JSON line. What native
libraries print is sent to standard error, so that it cannot disturb the answers.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dmformer.errors import DmformerError, EngineError
from dmformer.evaluation.latency import timing
from dmformer.evaluation.latency.candidates import Candidate
from dmformer.evaluation.latency.settings import Settings
from dmformer.evaluation.latency.subject import Subject, load_bundle, memory_mb, open_subject
from dmformer.evaluation.latency.workload import Call, make_call


class Worker:
    """What a worker can be asked to do, in this order: `open`, `warm`, `slice` any number of times, `end`."""

    def __init__(self, candidate: Candidate, settings: Settings, scratch: Path) -> None:
        self.candidate, self.settings, self._scratch = candidate, settings, scratch
        self._subject: Subject | None = None
        self._calls: list[Call] = []

    def open(self) -> dict[str, Any]:
        """Opens the engine and runs it once."""
        bind = make_call(self.candidate, load_bundle(self.candidate), self.settings, self._scratch)
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
        found = memory_mb()
        return {"peak_rss_mb": found[1] if found else None, "cpu_s": time.process_time()}

    def layers(self) -> dict[str, Any]:
        """Time and precision of every layer, as the runtime's own profiler tells them."""
        from dmformer.evaluation.layers.profile import profile

        return profile(load_bundle(self.candidate), self.candidate.batch, self.settings)

    def peaks(self) -> dict[str, Any]:
        """What this machine gives at most through this runtime; see `dmformer.evaluation.layers.roofline`."""
        from dmformer.evaluation.layers.roofline import measure_peaks

        return measure_peaks(load_bundle(self.candidate).manifest.target, self.settings.threads)


STEPS = {
    "open": "opening the engine",
    "warm": "warming up",
    "slice": "running",
    "end": "ending",
    "layers": "profiling its layers",
    "peaks": "measuring this machine's limits",
}


def main() -> int:
    """Serves requests until standard input ends."""
    faulthandler.disable()
    # Ctrl-C reaches the whole group; the parent decides, and this process ends with its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    first = json.loads(sys.stdin.readline())
    worker = Worker(Candidate(**first["candidate"]), Settings(**first["settings"]), Path(first["scratch"]))
    for line in sys.stdin:
        print(json.dumps(answer(worker, json.loads(line))), file=answers, flush=True)
    return 0


def answer(worker: Worker, step: str) -> dict[str, Any]:
    """Does one step and returns ``{"done": ...}`` or ``{"error": ...}``."""
    try:
        return {"done": getattr(worker, step)()}
    except DmformerError as error:
        return {"error": {"kind": type(error).__name__, "message": error.message, "hint": error.hint}}
    except Exception as error:  # a third party's: reported as the runtime's refusal
        text = " ".join(str(error).split())[:600]
        message = f"{worker.candidate.name}: {type(error).__name__} while {STEPS[step]}: {text}"
        return {"error": {"kind": EngineError.__name__, "message": message, "hint": None}}
