"""Work in processes of their own: whatever native libraries do there, their end becomes an error here.

A `Process` is a fresh interpreter that makes one service and then does its steps when it is asked. Each line of its
standard input and of its answers is one JSON document. First comes a dictionary with ``service``, ``request`` and the
tables of ``targets`` and ``tasks``, then the names of steps. The answer to each is ``{"result": ...}``,
``{"error": ...}`` or ``{"refused": ...}``, before which a service may say ``{"step": ...}`` and ``{"done": ...}``. One
that says nothing is not disturbed: its parent sleeps until the answer. What native libraries print is shown only in an
error message.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from types import TracebackType
from typing import IO, Any, cast

from dmformer import chatter, errors
from dmformer.progress import Progress, Silent
from dmformer.scratch import scratch_directory
from dmformer.targets import TARGETS, Target, load
from dmformer.tasks.registry import TASKS

Say = Callable[[dict[str, Any]], None]
START = """
import sys
parent, path = sys.argv[1:3]
del sys.argv[1:3]
sys.path[:] = path.split("\\n")
from dmformer.processes import end_with, serve
end_with(int(parent))
serve()
"""
"""The process finds modules where this one does: `-m` would look into the current directory first, where a user's own
`openvino.py` may lie."""
END_SECONDS, STOP_SECONDS = 5, 1
"""How long a process may take to end, and how long when the work was stopped or failed."""
TAIL, REASON = 400, 600
"""Characters of what a process printed, and of a third party's exception, that an error message quotes."""


class Process:
    """A fresh process of our own that does one service's steps. A context manager: it is gone at its end.

    Args:
        name: What messages call it.
        service: ``module:attribute`` of what is called with the request and a function to say lines by, and whose
            methods are the steps.
        request: What it is to work on, as JSON.
        steps: What messages call each step.
        hint: How a crash is to be mended.
    """

    def __init__(self, name: str, service: str, request: dict[str, Any], steps: Mapping[str, str], hint: str) -> None:
        self.name, self._steps, self._hint = name, steps, hint
        with contextlib.ExitStack() as kept:
            scratch = kept.enter_context(scratch_directory())
            self._said: IO[bytes] = kept.enter_context(tempfile.TemporaryFile(prefix="dmformer-"))
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-c", START, str(os.getpid()), "\n".join(sys.path)],
                # Its temporary files, its libraries' too, go into a directory of this one.
                env={**os.environ, "TMPDIR": str(scratch)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                text=True,
                encoding="utf-8",
                # Ctrl-C does not reach it: this process decides, and it ends with its input.
                start_new_session=True,
            )
            self._kept = kept.pop_all()
        self._requests = cast(IO[str], self._process.stdin)
        self._answers = cast(IO[str], self._process.stdout)
        rows = {row.name: asdict(row) for row in TARGETS.values()}
        self._send({"service": service, "request": request, "targets": rows, "tasks": dict(TASKS)})

    def ask(self, step: str, progress: Progress | None = None) -> dict[str, Any]:
        """Lets the process do one step.

        Args:
            step: A method of its service.
            progress: Watches, where the service tells how far it is.

        Raises:
            EngineCrashError: The process died; the message names the step, or what the service said of it.
            DmformerError: What the step itself raised; `EngineError` stands for a third party's exception.
        """
        answer: dict[str, Any] = {"step": self._steps[step], "done": 0}
        self._send(step)

        def percents() -> Iterator[int]:
            shown = 0
            while "result" not in answer:
                answer.update(self._receive(answer["step"]))
                while shown < int(answer["done"] * 100):
                    shown += 1
                    yield shown
            yield from range(shown + 1, 101)

        for _ in (progress or Silent()).track(percents(), self._steps[step], 100):
            pass
        return dict(answer["result"])

    def _receive(self, step: str) -> dict[str, Any]:
        line = self._answers.readline()
        if not line.endswith("\n"):
            raise self._crash(step)
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            kind = errors.kind_named(message["error"]["kind"], errors.EngineError)
            raise kind(message["error"]["message"], message["error"]["hint"])
        if "refused" in message:
            raise errors.EngineError(f"{self.name}: {message['refused']}")
        return message

    def _send(self, request: Any) -> None:
        # Where it is dead already, reading the answer will tell.
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()

    def _crash(self, step: str) -> errors.EngineCrashError:
        code = self._process.wait()
        tail = " ".join(self._printed().split())[-TAIL:]
        return errors.EngineCrashError(
            f"{self.name}: the process died ({cause_of(code)}) while {step}"
            + (f"; it last said: {tail}" if tail else ""),
            self._hint,
        )

    def _printed(self) -> str:
        self._said.seek(0)
        return self._said.read().decode(errors="replace")

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the process, by the end of its input or else by force, and removes what it left in its scratch."""
        try:
            self._end(END_SECONDS if kind is None else STOP_SECONDS)
            if text := self._printed():
                chatter.LOGGER.debug("%s: %s", self.name, text)
        finally:
            self._kept.__exit__(kind, error, trace)

    def _end(self, patience: float) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        finally:
            # Its own processes are of its group: what it left is ended too.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._answers.close()


def cause_of(code: int) -> str:
    """An exit code in words: ``SIGSEGV`` for -11."""
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"


def end_with(parent: int) -> None:
    """Lets the system end this process when its parent is gone, also in the middle of a native build.

    Only Linux can; elsewhere a process whose parent was killed finishes its step first.
    """
    if sys.platform != "linux":
        return
    import ctypes

    set_death_signal = 1  # PR_SET_PDEATHSIG of linux/prctl.h
    ctypes.CDLL(None).prctl(set_death_signal, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # gone before it was said
        os._exit(1)


def serve() -> None:
    """The process's own end: does the steps of a service until standard input ends."""
    faulthandler.disable()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(line: dict[str, Any]) -> None:
        print(json.dumps(line), file=answers, flush=True)

    first = json.loads(sys.stdin.readline())
    TARGETS.update({name: Target(**row) for name, row in first["targets"].items()})
    TASKS.update(first["tasks"])
    service: list[Any] = []
    for step in sys.stdin:
        try:
            service = service or [load(first["service"])(first["request"], say)]
            say({"result": getattr(service[0], json.loads(step))()})
        except errors.DmformerError as error:
            say({"error": error.to_json()})
        except Exception as error:
            # Whatever a third party raises is its refusal of the model.
            say({"refused": " ".join(str(error).split())[:REASON] or type(error).__name__})
