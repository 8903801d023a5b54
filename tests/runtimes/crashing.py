"""Runtimes whose library ends the process, or fails otherwise, at a chosen step. Real ones: the child really dies."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle
from dmformer.errors import UsageError
from dmformer.runtimes.base import Array, EngineReport, EngineRequest, Execution, Session, SessionOptions, Watch
from dmformer.runtimes.onnx_runtime import OnnxRuntime

PARENT = os.environ.get("DMFORMER_TEST_PARENT")


def die(number: signal.Signals) -> None:
    assert str(os.getpid()) != PARENT, "native code must not run in the user's process"
    print("the library's last words", flush=True)
    os.kill(os.getpid(), number)


class InBuild(OnnxRuntime):
    def build_engine(self, request: EngineRequest, watch: Watch) -> EngineReport:
        die(signal.SIGSEGV)
        return super().build_engine(request, watch)


class InOpen(OnnxRuntime):
    def open(self, bundle: Bundle, options: SessionOptions) -> Session:
        die(signal.SIGILL)
        return super().open(bundle, options)


class DyingSession(Session):
    execution = Execution("none", "none")

    def run(self, batch: NDArray[np.float32], only: str | None = None) -> dict[str, Array]:
        die(signal.SIGABRT)
        return {}

    def close(self) -> None:
        pass


class InRun(OnnxRuntime):
    def open(self, bundle: Bundle, options: SessionOptions) -> Session:
        return DyingSession()


class Exits(OnnxRuntime):
    def build_engine(self, request: EngineRequest, watch: Watch) -> EngineReport:
        sys.exit(3)


class Raises(OnnxRuntime):
    def build_engine(self, request: EngineRequest, watch: Watch) -> EngineReport:
        raise RuntimeError("the library\n  refuses this graph")


class Refuses(OnnxRuntime):
    def build_engine(self, request: EngineRequest, watch: Watch) -> EngineReport:
        raise UsageError("not this graph", "another one")
