"""The parent's end of a worker: starts it, asks it, and turns its death into an error that names the candidate."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from types import TracebackType
from typing import IO, Any, cast

from dmformer import errors
from dmformer.evaluation.latency.candidates import Candidate
from dmformer.evaluation.latency.settings import Settings
from dmformer.evaluation.latency.worker import STEPS
from dmformer.runtimes.child import TAIL, cause_of
from dmformer.runtimes.processes import command, environment
from dmformer.scratch import scratch_directory

WORKER = "dmformer.evaluation.latency.worker"
END_SECONDS, STOP_SECONDS = 5, 1
"""How long a worker may take to end, and how long when the bench was stopped or failed."""


class WorkerProcess:
    """A fresh process for one candidate. A context manager: the process is gone at its end."""

    def __init__(self, candidate: Candidate, settings: Settings) -> None:
        self.candidate = candidate
        with contextlib.ExitStack() as kept:
            scratch = kept.enter_context(scratch_directory())
            self._said: IO[bytes] = kept.enter_context(tempfile.TemporaryFile(prefix="dmformer-"))
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command(WORKER),
                env=environment(scratch),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                text=True,
                encoding="utf-8",
            )
            self._kept = kept.pop_all()
        self._requests = cast(IO[str], self._process.stdin)
        self._answers = cast(IO[str], self._process.stdout)
        self._send({"candidate": candidate.to_json(), "settings": settings.to_json(), "scratch": str(scratch)})

    def ask(self, step: str) -> dict[str, Any]:
        """Lets the worker do one step of `dmformer.evaluation.latency.worker.STEPS`.

        Raises:
            EngineCrashError: The process died.
            DmformerError: What the step itself raised.
        """
        self._send(step)
        line = self._answers.readline()
        if not line:
            raise self._crash(step)
        answer = json.loads(line)
        if "error" in answer:
            kind = getattr(errors, answer["error"]["kind"], errors.EngineError)
            raise kind(answer["error"]["message"], answer["error"]["hint"])
        return dict(answer["done"])

    def _send(self, request: Any) -> None:
        # Where it is dead already, reading the answer will tell.
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()

    def _crash(self, step: str) -> errors.EngineCrashError:
        code = self._process.wait()
        self._said.seek(0)
        tail = " ".join(self._said.read().decode(errors="replace").split())[-TAIL:]
        return errors.EngineCrashError(
            f"{self.candidate.name}: its process died ({cause_of(code)}) while {STEPS[step]}"
            + (f"; it last said: {tail}" if tail else ""),
            "leave it out, or try another version of its library",
        )

    def close(self, patience: float = END_SECONDS) -> None:
        """Ends the process, by the end of its input or else by force, and removes what it left in its scratch."""
        with self._kept:
            with contextlib.suppress(BrokenPipeError):
                self._requests.close()
            try:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(patience)
            finally:
                self._process.kill()
                self._process.wait()
                self._answers.close()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(END_SECONDS if kind is None else STOP_SECONDS)
