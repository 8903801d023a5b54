"""Running native libraries in a child process, so that a crash there becomes an error here.

The child runs `dmformer.runtimes.worker`. It gets one JSON task on its standard input and
writes JSON lines to a file of its own: ``{"step": ...}`` before each step, then ``{"result": ...}`` or
``{"error": ...}``. What native libraries print goes to the child's standard error, which is shown only
in an error message.
"""

from __future__ import annotations

import contextlib
import errno
import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dmformer import chatter, errors
from dmformer.bundle import Bundle, assemble
from dmformer.golden import Golden
from dmformer.manifest import Manifest
from dmformer.progress import Progress, Silent
from dmformer.runtimes.base import EngineReport, EngineRequest, completed, require
from dmformer.runtimes.processes import command, environment
from dmformer.runtimes.registry import get_runtime
from dmformer.scratch import scratch_directory
from dmformer.space import refusal
from dmformer.targets import TARGETS

WORKER = "dmformer.runtimes.worker"
ENGINE_MARGIN = 1 << 20
"""Bytes that an engine's files may have beyond those of the graph: OpenVINO's XML, a package's tables."""
TAIL = 400
"""Characters of the child's own output that an error message quotes."""

WATCH_SECONDS = 0.2
"""Pause between two looks at a child's log."""


def build_bundle(request: EngineRequest, draft: Manifest, golden: Golden) -> Bundle:
    """Builds in a child process, assembles the bundle, and tries it on one golden sample in another.

    Raises:
        MissingBackendError: The runtime is not installed.
        EngineCrashError: The native library ended its process, at the step that the message names.
        EngineError: The runtime refused the graph.
    """
    require(get_runtime(draft.target).missing_for_export())
    report = build_in_child(draft.target, request)
    bundle = assemble(Path(request.directory), completed(draft, request, report), golden, report.roles)
    try_in_child(bundle)
    return bundle


def build_in_child(runtime: str, request: EngineRequest, progress: Progress | None = None) -> EngineReport:
    """Builds an engine in a child process.

    Args:
        runtime: Its name.
        request: What to build.
        progress: Watches the build, where the runtime tells how far it is.

    Raises:
        EngineCrashError: The process died; the message names the runtime and the step.
        DmformerError: What the runtime itself raised.
    """
    task = {"task": "build", "runtime": runtime, "request": request.to_json()}
    return EngineReport(**run_task(task, progress or Silent()))


def try_in_child(bundle: Bundle) -> None:
    """Opens a bundle and runs one golden sample in a child process. Raises as `build_in_child`."""
    run_task({"task": "try", "runtime": bundle.manifest.target, "bundle": str(bundle.path)})


def time_in_child(bundle: Bundle) -> float:
    """Median milliseconds of one inference of a bundle, measured in a child process. Raises as `build_in_child`."""
    task = {"task": "time", "runtime": bundle.manifest.target, "bundle": str(bundle.path)}
    return float(run_task(task)["ms"])


def run_task(task: dict[str, Any], progress: Progress | None = None) -> dict[str, Any]:
    """Runs one task in a fresh interpreter and returns its result."""
    with scratch_directory() as scratch:
        log, said = scratch / "log.jsonl", scratch / "said.txt"
        with said.open("wb") as output:
            child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command(WORKER, str(log)),
                env=environment(scratch),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                _hand_over(child, {**task, "targets": {name: asdict(row) for name, row in TARGETS.items()}})
                _follow(child, log, progress)
            finally:
                if child.poll() is None:
                    child.kill()
                child.wait()
        lines, text = read_log(log), said.read_text(errors="replace")
        if text:
            chatter.LOGGER.debug("%s: %s", task["runtime"], text)
        try:
            return read_outcome(task["runtime"], lines, child.returncode, text)
        except errors.DmformerError as error:
            # A full disk is told of the engine's place first: there may be no other.
            if why := _refusal(error, task):
                raise OSError(errno.ENOSPC, why, task["request"]["directory"]) from error
            raise


def _refusal(error: errors.DmformerError, task: dict[str, Any]) -> str | None:
    """Why an engine could not be written; it is about as large as what it is made from."""
    if task["task"] != "build":
        return None
    wanted = Path(task["request"]["onnx"]).stat().st_size + ENGINE_MARGIN
    return refusal(error, Path(task["request"]["directory"]), wanted)


def _hand_over(child: subprocess.Popen[bytes], task: dict[str, Any]) -> None:
    assert child.stdin is not None  # noqa: S101 - it is a pipe
    # A child that died before it read its task is told by its exit code.
    with contextlib.suppress(BrokenPipeError), child.stdin:
        child.stdin.write(json.dumps(task).encode())


def _follow(child: subprocess.Popen[bytes], log: Path, progress: Progress | None) -> None:
    """Waits for a child; shows how far it is where it tells."""
    if progress is None:
        child.wait()
        return
    for _ in progress.track(_percents(child, log), "building the engine", 100):
        pass


def _percents(child: subprocess.Popen[bytes], log: Path) -> Iterator[int]:
    """Yields once for each percent that is done, as the child's log tells."""
    shown = 0
    while child.poll() is None:
        done = max((line["done"] for line in read_log(log) if "done" in line), default=0.0)
        while shown < int(done * 100):
            shown += 1
            yield shown
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(WATCH_SECONDS)
    yield from range(shown + 1, 101)


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
