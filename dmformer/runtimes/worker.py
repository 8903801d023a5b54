"""The child process of `dmformer.runtimes.child`: does one task and reports by JSON lines."""

from __future__ import annotations

import faulthandler
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from dmformer.bundle import Bundle, read_manifest
from dmformer.errors import DmformerError, EngineError
from dmformer.runtimes.base import EngineRequest, SessionOptions
from dmformer.runtimes.registry import RUNTIMES, get_runtime

Say = Callable[[dict[str, Any]], None]


def main() -> int:
    """Reads a task from standard input, does it, and writes the outcome to the file that is the only argument."""
    faulthandler.disable()
    log = Path(sys.argv[1])

    def say(line: dict[str, Any]) -> None:
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")

    task = json.loads(sys.stdin.read())
    RUNTIMES[task["runtime"]] = task["where"]
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
    """Builds an engine with a `NativeRuntime`."""
    runtime: Any = get_runtime(task["runtime"])
    say({"step": "building the engine"})
    runtime.watch = lambda step, done: say({"step": f"building the engine ({step})", "done": round(done, 3)})
    return asdict(runtime.build_engine(EngineRequest(**task["request"])))


def attempt(task: dict[str, Any], say: Say) -> dict[str, Any]:
    """Opens an assembled bundle and runs one golden sample of it."""
    directory = Path(task["bundle"])
    bundle = Bundle(directory, read_manifest(directory))
    samples, size = bundle.golden().tensors, bundle.manifest.input.shape[0] or 1
    batch = np.resize(samples, (size, *samples.shape[1:]))
    say({"step": "compiling the engine"})
    with get_runtime(task["runtime"]).open(bundle, SessionOptions()) as session:
        say({"step": "running the engine"})
        session.run(batch)
    return {}


TASKS: dict[str, Callable[[dict[str, Any], Say], dict[str, Any]]] = {"build": build, "try": attempt}
