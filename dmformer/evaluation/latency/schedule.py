"""Who runs when: candidates warmed up one by one, then short slices of all of them in turn, in a shuffled order."""

from __future__ import annotations

import random
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dmformer.evaluation.latency import conditions
from dmformer.evaluation.latency.candidates import Candidate
from dmformer.evaluation.latency.process import WorkerProcess
from dmformer.evaluation.latency.settings import Settings
from dmformer.evaluation.latency.statistics import Times
from dmformer.progress import Progress

NS_PER_MS = 1e6


@dataclass
class Launch:
    """What one process of one candidate gave.

    Attributes:
        opened: The answer to ``open``; ``warmed`` that to ``warm``.
        slices: The answers to ``slice``, one for each round.
        peak_rss_mb: Peak memory of the process, MiB.
    """

    opened: dict[str, Any]
    warmed: dict[str, Any]
    slices: list[dict[str, Any]] = field(default_factory=list)
    peak_rss_mb: float | None = None

    def times_ms(self) -> list[Times]:
        """Milliseconds of each call, by slice."""
        return [np.asarray(taken["calls_ns"], np.float64) / NS_PER_MS for taken in self.slices]


@dataclass
class Records:
    """Everything that was measured: the launches of each candidate in order, and what moved meanwhile."""

    launches: dict[str, list[Launch]]
    warnings: list[list[str]] = field(default_factory=list)


def take(candidates: list[Candidate], settings: Settings, cores: int, progress: Progress) -> Records:
    """Measures all candidates side by side, ``settings.launches`` times with fresh processes.

    Raises:
        EngineCrashError: A candidate's process died; the message names it.
        DmformerError: A candidate cannot be opened or run.
    """
    records = Records({candidate.name: [] for candidate in candidates})
    order = random.Random(settings.seed)  # noqa: S311 - shuffles an order
    for number in progress.track(range(settings.launches), "measuring", settings.launches):
        launched, warnings = launch(candidates, settings, order, cores, progress, number)
        for name, found in launched.items():
            records.launches[name].append(found)
        records.warnings.append(warnings)
    return records


def launch(
    candidates: list[Candidate],
    settings: Settings,
    order: random.Random,
    cores: int,
    progress: Progress,
    number: int,
) -> tuple[dict[str, Launch], list[str]]:
    """One fresh process for each candidate, and ``settings.rounds`` slices of each."""
    with ExitStack() as stack:
        workers = {c.name: stack.enter_context(WorkerProcess(c, settings)) for c in candidates}
        launches = {name: start(worker) for name, worker in workers.items()}
        readings = [conditions.read()]
        title = f"launch {number + 1} of {settings.launches}, {len(candidates)} candidates in turn"
        for _ in progress.track(range(settings.rounds), title, settings.rounds):
            # A fixed order would let each candidate suffer from the same predecessor's caches.
            for name in order.sample(sorted(workers), len(workers)):
                launches[name].slices.append(workers[name].ask("slice"))
            readings.append(conditions.read())
        for name, worker in workers.items():
            launches[name].peak_rss_mb = worker.ask("memory")["peak_rss_mb"]
    own = sum(taken["cpu_s"] for found in launches.values() for taken in found.slices)
    return launches, conditions.warnings(readings, own, cores)


def start(worker: WorkerProcess) -> Launch:
    """Opens and warms one candidate while the others wait."""
    return Launch(worker.ask("open"), worker.ask("warm"))
