"""Who runs when: candidates warmed up one by one, then short slices of all of them in turn, in a shuffled order."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from dmformer.evaluation.latency import conditions
from dmformer.evaluation.latency.candidates import Candidate
from dmformer.evaluation.latency.settings import BenchSettings
from dmformer.evaluation.latency.statistics import Times
from dmformer.evaluation.latency.worker import start_worker
from dmformer.evaluation.power.find import find_sensor
from dmformer.evaluation.power.meter import Meter
from dmformer.evaluation.power.sensor import Draw
from dmformer.processes import Process
from dmformer.progress import Progress

NS_PER_MS = 1e6


@dataclass
class Launch:
    """What one process of one candidate gave.

    Attributes:
        opened: The answer to ``open``; ``warmed`` that to ``warm``.
        slices: The answers to ``slice``, one for each round.
        ended: The answer to ``end``.
        draws: What was drawn during each slice; None where no sensor can be read.
    """

    opened: dict[str, Any]
    warmed: dict[str, Any]
    slices: list[dict[str, Any]] = field(default_factory=list)
    ended: dict[str, Any] = field(default_factory=dict)
    draws: list[Draw | None] = field(default_factory=list)

    def times_ms(self) -> list[Times]:
        """Milliseconds of each call, by slice."""
        return [np.asarray(taken["calls_ns"], np.float64) / NS_PER_MS for taken in self.slices]


@dataclass
class Records:
    """Everything that was measured.

    Attributes:
        launches: Of each candidate, in order.
        warnings: What moved during each launch.
        readings: The machine before, between and after the rounds.
        meter: What measured the power.
    """

    launches: dict[str, list[Launch]]
    warnings: list[list[str]] = field(default_factory=list)
    readings: list[conditions.Reading] = field(default_factory=list)
    meter: Meter = field(default_factory=lambda: Meter("nobody looked"))


def take(candidates: list[Candidate], settings: BenchSettings, cores: int, progress: Progress) -> Records:
    """Measures all candidates side by side, ``settings.launches`` times with fresh processes.

    Raises:
        EngineCrashError: A candidate's process died; the message names it.
        DmformerError: A candidate cannot be opened or run.
    """
    records = Records({candidate.name: [] for candidate in candidates})
    order = random.Random(settings.seed)  # noqa: S311 - shuffles an order
    total = settings.launches * settings.rounds
    steps = iter(progress.track(range(total), f"measuring {len(candidates)} candidates in turn", total))
    with Meter(find_sensor()) as records.meter:
        for _ in range(settings.launches):
            launched, readings = launch(candidates, settings, order, steps, records.meter)
            for name, record in launched.items():
                records.launches[name].append(record)
            own = sum(one.ended["cpu_s"] - one.warmed["cpu_s"] for one in launched.values())
            records.warnings.append(conditions.warnings(readings, own, cores))
            records.readings += readings
    next(steps, None)
    return records


def launch(
    candidates: list[Candidate],
    settings: BenchSettings,
    order: random.Random,
    steps: Iterator[int],
    meter: Meter,
) -> tuple[dict[str, Launch], list[conditions.Reading]]:
    """One fresh process for each candidate, and ``settings.rounds`` slices of each, a step of the progress for each."""
    with ExitStack() as stack:
        workers = {c.name: stack.enter_context(start_worker(c, settings)) for c in candidates}
        # Shuffled too: who starts first finds another memory than who starts last.
        launches = {name: start(workers[name]) for name in order.sample(sorted(workers), len(workers))}
        readings = [conditions.read()]
        for _ in itertools.islice(steps, settings.rounds):
            # A fixed order would let each candidate suffer from the same predecessor's caches.
            for name in order.sample(sorted(workers), len(workers)):
                workers[name].ask("ready")
                taken, draw = meter.during(partial(workers[name].ask, "slice"))
                launches[name].slices.append(taken)
                launches[name].draws.append(draw)
            readings.append(conditions.read())
        for name, worker in workers.items():
            launches[name].ended = worker.ask("end")
    return launches, readings


def start(worker: Process) -> Launch:
    """Opens and warms one candidate while the others wait."""
    return Launch(worker.ask("open"), worker.ask("warm"))
