"""Listening to the library: what it logs, how far a build is, and how long each layer took.

The classes are made where they are used, because their bases are in a library that may not be there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorrt as trt

LAYERS = "Layers:"
"""How the message begins in which the builder describes the finished engine; said at VERBOSE."""
MOST_KEPT = 20


@dataclass
class Log:
    """What a library said.

    Attributes:
        logger: Given to the library.
        errors: Its last errors, one line each.
        layers: Its description of the finished engine, or the empty string.
    """

    logger: Any = None
    errors: list[str] = field(default_factory=list)
    layers: str = ""

    def take(self, severity: int, text: str) -> None:
        """Keeps a message where it matters. Severity 0 and 1 are errors."""
        if severity <= 1:
            self.errors = [*self.errors, " ".join(text.split())][-MOST_KEPT:]
        elif text.startswith(LAYERS):
            self.layers = text

    def complaint(self) -> str:
        """The last error that says something, or that there was none."""
        told = [line for line in self.errors if "Thread context" not in line]
        return told[0][:400] if told else "it gave no reason"


def make_log(module: Any) -> Log:
    """A log and the logger that feeds it."""
    log = Log()

    class Logger(module.ILogger):  # type: ignore[misc]  # the base is only known at run time
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            log.take(int(severity.value), message)

    log.logger = Logger()
    return log


@dataclass
class Phases:
    """The builder's nested phases, as one share of the whole and one line of text.

    Attributes:
        watch: Told the name of each phase and the share that is done, 0 to 1, which never falls.
    """

    watch: Callable[[str, float], None]
    _open: dict[str, tuple[str | None, int, int]] = field(default_factory=dict)
    _done: float = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        self._open[name] = (parent, max(1, steps), 0)
        self._tell(name)

    def step(self, name: str, index: int) -> None:
        if name in self._open:
            parent, steps, _ = self._open[name]
            self._open[name] = (parent, steps, min(index + 1, steps))
            self._tell(name)

    def finish(self, name: str) -> None:
        self._open.pop(name, None)

    def _tell(self, name: str) -> None:
        done = max(self._done, self._share(name))
        self._done = done
        self.watch(name, done)

    def _share(self, name: str) -> float:
        """How much of the whole build is done: a phase is one step of its parent."""
        share, current = 0.0, name
        for _ in range(len(self._open)):
            parent, steps, done = self._open[current]
            share = min(1.0, (done + share) / steps)
            if parent is None or parent not in self._open:
                break
            current = parent
        return share


def make_monitor(module: Any, phases: Phases) -> trt.IProgressMonitor:
    """The library's progress monitor over `Phases`."""

    class Monitor(module.IProgressMonitor):  # type: ignore[misc]  # the base is only known at run time
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            phases.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            phases.step(phase_name, step)
            return True

        def phase_finish(self, phase_name: str) -> None:
            phases.finish(phase_name)

    monitor: trt.IProgressMonitor = Monitor()
    return monitor


def make_profiler(module: Any, times: list[tuple[str, float]]) -> trt.IProfiler:
    """The library's profiler, which appends name and milliseconds of every layer as it ran."""

    class Profiler(module.IProfiler):  # type: ignore[misc]  # the base is only known at run time
        def __init__(self) -> None:
            module.IProfiler.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            times.append((layer_name, float(ms)))

    profiler: trt.IProfiler = Profiler()
    return profiler
