"""One process for the engines of many exports: a fresh one spends nearly all of its time on importing libraries.

A `Warm` is a `Process` whose interpreter waits for the next service when one is done. It serves as a fresh one would
(`dmformer.processes.serve`), and is given on only to a parent from whom a fresh one would inherit the same: modules,
targets, tasks, environment and limits. One in which something failed is not used again.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import pytest

from dmformer import processes
from dmformer.processes import Process, serve
from dmformer.targets import TARGETS
from dmformer.tasks.registry import TASKS

START = processes.START.replace("from dmformer.processes import end_with, serve", "").replace(
    "\nend_with(int(parent))\nserve()",
    "from dmformer.processes import end_with\nend_with(int(parent))\nfrom tests.warm import serve_all\nserve_all()",
)
MOST = 2
"""Of those that wait: each holds its libraries in memory."""
OWN = ("HOME", "PWD", "PYTEST_CURRENT_TEST", "TMPDIR")
"""What each test has of its own, and no engine depends on."""


def inherited() -> Hashable:
    """What a fresh process would have from this one."""
    limits = (getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))
    rows = {row.name: asdict(row) for row in TARGETS.values()}
    environment = sorted((name, value) for name, value in os.environ.items() if name not in OWN)
    return (
        json.dumps([sys.path, rows, dict(TASKS), environment]),
        tuple(map(resource.getrlimit, limits)),
        frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
    )


FRESH = ("openvino",)
"""Targets whose engines are built in a fresh process always: OpenVINO numbers nodes anew in each, and writes that."""


class Warm(Process):
    """A process that others may have used before. As `Process`."""

    idle: ClassVar[dict[Hashable, Process]] = {}
    place: ClassVar[Path]
    """Where the scratch of those that wait lies: not among a test's temporary files, which it may look at."""

    def __init__(self, name: str, service: str, request: dict[str, Any], steps: Mapping[str, str], hint: str) -> None:
        self._inherited = inherited()
        used = None if request.get("target") in FRESH else Warm.idle.pop(self._inherited, None)
        if used is None or used._process.poll() is not None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(processes, "START", START)
                patch.setattr("tempfile.tempdir", str(Warm.place))
                super().__init__(name, service, request, steps, hint)
            return
        self.__dict__.update(used.__dict__ | {"name": name, "_steps": steps, "_hint": hint})
        self._said.truncate(0)
        self._send({"service": service, "request": request, "targets": {}, "tasks": {}, "directory": str(Path.cwd())})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or self._inherited in Warm.idle:
            super().__exit__(kind, error, trace)
            return
        end_all(MOST - 1)
        Warm.idle[self._inherited] = self


def end_all(most: int = 0) -> None:
    """Ends those that wait, but the latest ``most``."""
    while len(Warm.idle) > most:
        Process.__exit__(Warm.idle.pop(next(iter(Warm.idle))), None, None, None)


@contextlib.contextmanager
def warm_processes(place: Path) -> Iterator[None]:
    """Engines are built and tried in processes that were used before; what they leave behind lies in a folder."""
    Warm.place = place
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dmformer.runtimes.child.Process", Warm)
        try:
            yield
        finally:
            end_all()


class _Services:
    """Standard input as `serve` reads it, up to the next service."""

    def __init__(self) -> None:
        self.lines = sys.stdin
        self.first = self.lines.readline()

    def readline(self) -> str:
        with contextlib.suppress(KeyError):
            os.chdir(json.loads(self.first)["directory"])
        return self.first

    def __iter__(self) -> Iterator[str]:
        self.first = ""
        for line in iter(self.lines.readline, ""):
            if line.startswith("{"):
                self.first = line
                return
            yield line


def serve_all() -> None:
    """The process's own end: one service after the other until standard input ends."""
    answers = os.dup(1)
    services: Any = _Services()
    sys.stdin = services
    while services.first:
        os.dup2(answers, 1)
        serve()
