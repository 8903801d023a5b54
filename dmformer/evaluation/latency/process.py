"""The parent's end of a worker: starts it, asks it, and turns its death into an error that names the candidate."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import IO, Any, cast

from dmformer import errors
from dmformer.evaluation.latency.candidates import Candidate
from dmformer.evaluation.latency.settings import Settings
from dmformer.evaluation.latency.worker import STEPS
from dmformer.runtimes.child import TAIL, cause_of

END_SECONDS = 5
START = """
import sys
sys.path[:] = sys.argv.pop(1).split("\\n")
from dmformer.evaluation.latency.worker import main
sys.exit(main())
"""
"""As `dmformer.runtimes.child.START`: no module of the current directory gets in the way."""


class WorkerProcess:
    """A fresh process for one candidate. A context manager: the process is gone at its end."""

    def __init__(self, candidate: Candidate, settings: Settings) -> None:
        self.candidate = candidate
        self._said: IO[bytes] = tempfile.TemporaryFile(prefix="dmformer-")  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-c", START, "\n".join(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
        )
        self._requests = cast(IO[str], self._process.stdin)
        self._answers = cast(IO[str], self._process.stdout)
        self._send({"candidate": candidate.to_json(), "settings": settings.to_json()})

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

    def close(self) -> None:
        """Ends the process: by the end of its input, or else by force."""
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()
        self._said.close()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        self.close()
