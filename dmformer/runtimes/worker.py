"""The child process of `dmformer.runtimes.child`: does one task and reports by JSON lines."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle, read_manifest
from dmformer.engine_input import from_tensors
from dmformer.errors import DmformerError, EngineError
from dmformer.runtimes.base import EngineRequest, Session, SessionOptions
from dmformer.runtimes.registry import get_runtime
from dmformer.targets import TARGETS, Target

Say = Callable[[dict[str, Any]], None]
WARM_UP_S, TIMED_S = 0.3, 1.0
"""Of a timing: enough for the clocks of a GPU to rise, and for hundreds of inferences."""


def main() -> int:
    """Reads a task from standard input, does it, and writes the outcome to the file that is the only argument."""
    faulthandler.disable()
    log = Path(sys.argv[1])

    def say(line: dict[str, Any]) -> None:
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")

    task = json.loads(sys.stdin.read())
    TARGETS.update({name: Target(**row) for name, row in task["targets"].items()})
    try:
        say({"result": TASKS[task["task"]](task, say)})
    except DmformerError as error:
        say({"error": {"kind": type(error).__name__, "message": error.message, "hint": error.hint}})
    except Exception as error:
        # Whatever a third party raises is its refusal of the model.
        message = " ".join(str(error).split())[:600]
        say({"error": {"kind": EngineError.__name__, "message": f"{task['runtime']}: {message}", "hint": None}})
    return 0


def build(task: dict[str, Any], say: Say) -> dict[str, Any]:
    """Builds an engine."""
    say({"step": "building the engine"})

    def watch(step: str, done: float) -> None:
        say({"step": f"building the engine ({step})", "done": round(done, 3)})

    return asdict(get_runtime(task["runtime"]).build_engine(EngineRequest(**task["request"]), watch))


def attempt(task: dict[str, Any], say: Say) -> dict[str, Any]:
    """Opens an assembled bundle and runs one golden sample of it."""
    with opened(task, say) as (session, batch):
        session.run(batch)
    return {}


def clock(task: dict[str, Any], say: Say) -> dict[str, Any]:
    """Median milliseconds of an inference on golden samples, after a warm-up."""
    with opened(task, say) as (session, batch):
        timed(session, batch, WARM_UP_S)
        return {"ms": statistics.median(timed(session, batch, TIMED_S)) * 1e3}


def timed(session: Session, batch: NDArray[Any], seconds: float) -> list[float]:
    """Seconds of each inference in a stretch of time; at least one."""
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while not taken or time.perf_counter() < end:
        begin = time.perf_counter()
        session.run(batch)
        taken.append(time.perf_counter() - begin)
    return taken


@contextlib.contextmanager
def opened(task: dict[str, Any], say: Say) -> Iterator[tuple[Session, NDArray[Any]]]:
    """The session of an assembled bundle, and one batch of its golden samples."""
    directory = Path(task["bundle"])
    bundle = Bundle(directory, read_manifest(directory))
    samples, size = bundle.golden().tensors, bundle.manifest.input.shape[0] or 1
    batch = from_tensors(bundle.manifest, np.resize(samples, (size, *samples.shape[1:])))
    say({"step": "compiling the engine"})
    with get_runtime(task["runtime"]).open(bundle, SessionOptions()) as session:
        say({"step": "running the engine"})
        yield session, batch


TASKS: dict[str, Callable[[dict[str, Any], Say], dict[str, Any]]] = {"build": build, "try": attempt, "time": clock}
