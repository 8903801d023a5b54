"""Two measurements of the same candidates: is the later one slower or less accurate?

The two were not taken side by side, so nothing pairs their slices: the interval of a ratio comes from drawing
launches, and slices within them, from either document on its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dmformer.errors import UsageError
from dmformer.evaluation.latency.document import Document, Result
from dmformer.evaluation.latency.statistics import CONFIDENCE, RESAMPLES

Verdict = Literal["same", "faster", "slower", "perhaps slower", "less accurate"]
SAME_SETTINGS = ("boundary", "threads", "streams", "fps", "device")


@dataclass(frozen=True)
class Change:
    """One candidate in both documents.

    Attributes:
        name: The candidate.
        before_ms: Median of one call; ``after_ms`` likewise.
        ratio: Time after over time before: 1.1 is 10 % slower; ``interval`` at 99 % confidence.
        top1_drop: Percentage points that were lost; None where either side has no top-1. ``agreement_drop`` likewise.
        verdict: In a word; ``failed`` where it passed a tolerance.
        reasons: In words, what failed.
    """

    name: str
    before_ms: float
    after_ms: float
    ratio: float
    interval: tuple[float, float]
    top1_drop: float | None
    agreement_drop: float | None
    verdict: Verdict
    failed: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """All candidates that both documents hold, and what to know when judging them."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not any(change.failed for change in self.changes)

    def to_json(self) -> dict[str, Any]:
        return {"passed": self.passed, "changes": [vars(change) for change in self.changes], "notes": list(self.notes)}


def compare_documents(before: Document, after: Document, tolerance: float, max_drop: float) -> Comparison:
    """Compares the candidates that two documents have in common.

    Args:
        before: The earlier measurement.
        after: The later one.
        tolerance: How much slower is allowed, as a share: 0.05 is 5 %.
        max_drop: How much top-1 or agreement may fall, in percentage points.

    Raises:
        UsageError: The measurements were taken differently, or share no candidate.
    """
    for name in SAME_SETTINGS:
        old, new = getattr(before.settings, name), getattr(after.settings, name)
        if old != new:
            raise UsageError(
                f"the reports were not taken alike: {name} is {old} in one, {new} in the other", "measure again"
            )
    later = {key_of(found): found for found in after.results}
    pairs = [(found, later[key_of(found)]) for found in before.results if key_of(found) in later]
    if not pairs:
        raise UsageError("the reports have no candidate in common", "candidates are matched by name and batch size")
    changes = tuple(change(old, new, tolerance, max_drop, before.settings.seed) for old, new in pairs)
    return Comparison(changes, tuple(notes(before, after, {key_of(old) for old, _ in pairs})))


def key_of(found: Result) -> tuple[str, int]:
    """What makes two results the same candidate."""
    return found.name, found.batch


def change(old: Result, new: Result, tolerance: float, max_drop: float, seed: int) -> Change:
    """Judges one candidate."""
    ratio, low, high = ratio_of(old, new, seed)
    top1 = _drop(old, new, "top1", 1.0)
    agreement = _drop(old, new, "agreement", 100.0)
    reasons = []
    if low > 1 + tolerance:
        reasons.append(f"slower by {ratio - 1:.1%}, surely by {low - 1:.1%}; allowed are {tolerance:.1%}")
    for name, lost in (("top-1", top1), ("agreement", agreement)):
        if lost is not None and lost > max_drop:
            reasons.append(f"{name} fell by {lost:.2f} points, allowed are {max_drop:.2f}")
    verdict = _verdict(ratio, low, high, tolerance, reasons)
    return Change(
        old.name, old.p50_ms, new.p50_ms, ratio, (low, high), top1, agreement, verdict, bool(reasons), tuple(reasons)
    )


def _verdict(ratio: float, low: float, high: float, tolerance: float, reasons: list[str]) -> Verdict:
    if reasons:
        return "slower" if reasons[0].startswith("slower") else "less accurate"
    if high < 1:
        return "faster"
    return "perhaps slower" if ratio > 1 + tolerance and low <= 1 + tolerance else "same"


def _drop(old: Result, new: Result, name: str, scale: float) -> float | None:
    if old.accuracy is None or new.accuracy is None or old.accuracy.data != new.accuracy.data:
        return None
    first, second = getattr(old.accuracy, name), getattr(new.accuracy, name)
    return None if first is None or second is None else (first - second) * scale


def ratio_of(old: Result, new: Result, seed: int) -> tuple[float, float, float]:
    """Time after over time before, and the ends of its interval."""
    generator = np.random.default_rng(seed)
    first, second = (_resampled(found, generator) for found in (old, new))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(second / first, (tail, 1 - tail))
    return new.p50_ms / old.p50_ms, float(low), float(high)


def _resampled(found: Result, generator: np.random.Generator) -> NDArray[np.float64]:
    """Medians of redrawn launches and slices, `RESAMPLES` of them."""
    shortest = min(len(launch) for launch in found.slices_ms)
    slices = np.array([launch[:shortest] for launch in found.slices_ms])
    launches = generator.integers(0, len(slices), (RESAMPLES, len(slices), 1))
    rounds = generator.integers(0, shortest, (RESAMPLES, len(slices), shortest))
    medians: NDArray[np.float64] = np.median(slices[launches, rounds].reshape(RESAMPLES, -1), axis=1)
    return medians


def notes(before: Document, after: Document, common: set[tuple[str, int]]) -> list[str]:
    """What differs between the circumstances, in words."""
    said = []
    for name in ("cpu", "cores", "governor", "power", "gpu"):
        old, new = getattr(before.environment, name), getattr(after.environment, name)
        if old != new:
            said.append(f"measured on different machines or modes: {name} {old} then, {new} now")
    for document, when in ((before, "before"), (after, "after")):
        missing = [found.name for found in document.results if key_of(found) not in common]
        if missing:
            said.append(f"only {when}: {', '.join(missing)}")
        said += [f"{when}: {line}" for line in document.warnings]
    return said
