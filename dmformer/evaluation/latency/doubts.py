"""What makes the figures of a measurement doubtful, in words."""

from __future__ import annotations

import re

from dmformer import host
from dmformer.evaluation.latency.candidates import Candidate
from dmformer.evaluation.latency.document import Result
from dmformer.evaluation.latency.schedule import Records
from dmformer.evaluation.latency.settings import BenchSettings

UNSTEADY = 0.025
"""trtexec's limit of the coefficient of variation."""


def all_warnings(records: Records, results: list[Result]) -> list[str]:
    """Everything that makes the figures doubtful: the machine's troubles, each once, then the candidates'."""
    kinds: dict[str, str] = {}
    for trouble in sorted({line for lines in records.warnings for line in lines}):
        # The same trouble in another launch differs in its figures only.
        kinds[" ".join(word for word in trouble.split() if not any(map(str.isdigit, word)))] = trouble
    return [*kinds.values(), *(line for result in results if (line := doubts(result)))]


def thread_doubts(candidates: list[Candidate], settings: BenchSettings) -> list[str]:
    """What the environment does to the threads of PyTorch and not to those of the engines beside it."""
    kinds = {candidate.kind == "bundle" for candidate in candidates}
    cores = host.available_cores()
    if len(kinds) < 2 or host.threads_per_stream(settings.threads, settings.streams):
        return []
    return [
        f"{name}={value[:20]} holds PyTorch to {count[1]} of {cores} cores, and no engine: unset it, or give --threads"
        for name, value in host.thread_variables().items()
        # A list is for regions within each other (OpenMP 5.2, 21.1.2): the outermost counts.
        if (count := re.match(r"\s*\+?([0-9]{1,9})(?![0-9])", value)) and 0 < int(count[1]) < cores
    ]


def doubts(result: Result) -> str | None:
    """What makes one candidate's figures doubtful, in one line."""
    said = []
    if result.cv > UNSTEADY:
        said.append(f"unsteady, its slices vary by {result.cv:.1%} (limit {UNSTEADY:.1%})")
    if not result.warmed_up:
        said.append("not stable at the end of its warm-up")
    if result.p90_ms is None:
        said.append(f"{result.samples} samples are too few for p90 (64): give --iterations or --duration")
    if result.late_frames:
        said.append(f"{result.late_frames:.1%} of the frames were not done when the next one came")
    return f"{result.name}: {'; '.join(said)}" if said else None
