"""Running native libraries in a child process, so that a crash there becomes an error here.

The child runs `dmformer.runtimes.worker`. It gets one JSON task on its standard input and
writes JSON lines to a file of its own: ``{"step": ...}`` before each step, then ``{"result": ...}`` or
``{"error": ...}``. What native libraries print goes to the child's standard error, which is shown only
in an error message.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from dmformer import chatter, errors
from dmformer.bundle import Bundle
from dmformer.runtimes.base import EngineReport, EngineRequest
from dmformer.runtimes.registry import RUNTIMES

START = """
import sys
sys.path[:] = sys.argv.pop(1).split("\\n")
from dmformer.runtimes.worker import main
sys.exit(main())
"""
"""The child finds modules where this process does: `-m` would look into the current directory first, where a user's
own `openvino.py` may lie."""

TAIL = 400
"""Characters of the child's own output that an error message quotes."""


def build_in_child(runtime: str, request: EngineRequest) -> EngineReport:
    """Builds an engine in a child process.

    Raises:
        EngineCrashError: The process died; the message names the runtime and the step.
        DmformerError: What the runtime itself raised.
    """
    return EngineReport(**run_task({"task": "build", "runtime": runtime, "request": request.to_json()}))


def try_in_child(bundle: Bundle) -> None:
    """Opens a bundle and runs one golden sample in a child process. Raises as `build_in_child`."""
    run_task({"task": "try", "runtime": bundle.manifest.target, "bundle": str(bundle.path)})


def run_task(task: dict[str, Any]) -> dict[str, Any]:
    """Runs one task in a fresh interpreter and returns its result."""
    with tempfile.TemporaryDirectory(prefix="dmformer-") as scratch:
        log = Path(scratch) / "log.jsonl"
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-c", START, "\n".join(sys.path), str(log)],
            input=json.dumps({**task, "where": RUNTIMES[task["runtime"]]}),
            text=True,
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        lines = read_log(log)
    if done.stdout:
        chatter.LOGGER.debug("%s: %s", task["runtime"], done.stdout)
    return read_outcome(task["runtime"], lines, done.returncode, done.stdout)


def read_log(log: Path) -> list[dict[str, Any]]:
    """The lines that a child finished; the one that it died in is left out."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def read_outcome(runtime: str, lines: list[dict[str, Any]], code: int, output: str) -> dict[str, Any]:
    """Turns what a child left behind into its result or an error."""
    for line in lines:
        if "result" in line:
            return dict(line["result"])
        if "error" in line:
            kind = getattr(errors, line["error"]["kind"], errors.EngineError)
            raise kind(line["error"]["message"], line["error"]["hint"])
    step = next((line["step"] for line in reversed(lines) if "step" in line), "starting")
    tail = " ".join(output.split())[-TAIL:]
    raise errors.EngineCrashError(
        f"{runtime}: the process died ({cause_of(code)}) while {step}" + (f"; it last said: {tail}" if tail else ""),
        "the library itself crashed: try another version of it, another --target, or another precision",
    )


def cause_of(code: int) -> str:
    """An exit code in words: ``SIGSEGV`` for -11."""
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"
