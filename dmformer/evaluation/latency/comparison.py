"""Two measurements of the same candidates: is the later one slower or less accurate?

The two were not taken side by side, so nothing pairs their slices: see
`dmformer.evaluation.latency.statistics.slowdown`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dmformer.documents import Document as Answer
from dmformer.documents import schema
from dmformer.errors import UsageError
from dmformer.evaluation.latency.accuracy import Accuracy
from dmformer.evaluation.latency.document import Document, Result
from dmformer.evaluation.latency.statistics import Times, slowdown

Judgement = Literal["same", "faster", "slower", "perhaps slower", "less accurate"]
SAME_SETTINGS = ("boundary", "threads", "streams", "fps", "image", "device")


@dataclass(frozen=True)
class Change:
    """One candidate in both documents.

    Attributes:
        name: The candidate.
        before_ms: Median of one call; ``after_ms`` likewise.
        ratio: Time after over time before: 1.1 is 10 % slower; ``interval`` at 99 % confidence. None, like the two
            before, where an evaluator ran the engine: its times are nobody's.
        headline: Title of the task's headline figure; None where it was not counted on both sides.
        headline_drop: How much of it was lost, in its unit. ``agreement_drop`` likewise, in percentage points.
        verdict: In a word; ``failed`` where it passed a tolerance.
        reasons: In words, what failed.
    """

    name: str
    before_ms: float | None
    after_ms: float | None
    ratio: float | None
    interval: tuple[float, float] | None
    headline: str | None
    headline_drop: float | None
    agreement_drop: float | None
    verdict: Judgement
    failed: bool
    reasons: tuple[str, ...]


class CompareDocument(Answer):
    """All candidates that both documents hold, and what to know when judging them."""

    schema_: Literal["dmformer.compare/2"] = schema("dmformer.compare/2")
    passed: bool
    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def within_tolerance(self) -> bool:
        return self.passed


def compare_documents(before: Document, after: Document, tolerance: float, max_drop: float) -> CompareDocument:
    """Compares the candidates that two documents have in common.

    Args:
        before: The earlier measurement.
        after: The later one.
        tolerance: How much slower is allowed, as a share: 0.05 is 5 %.
        max_drop: How much the task's headline figure or agreement may fall, in percentage points.

    Raises:
        UsageError: The measurements were taken differently, or share no candidate.
    """
    for name in SAME_SETTINGS:
        old, new = getattr(before.settings, name), getattr(after.settings, name)
        if old != new:
            raise UsageError(
                f"the reports were not taken alike: {name} is {old} in one, {new} in the other", "measure again"
            )
    later = {key_of(result): result for result in after.results}
    pairs = [(result, later[key_of(result)]) for result in before.results if key_of(result) in later]
    if not pairs:
        raise UsageError("the reports have no candidate in common", "candidates are matched by name and batch size")
    changes = tuple(change(old, new, tolerance, max_drop) for old, new in pairs)
    said = tuple(notes(before, after, {key_of(old) for old, _ in pairs}))
    return CompareDocument(passed=not any(change.failed for change in changes), changes=changes, notes=said)


def key_of(result: Result) -> tuple[str, int]:
    """What makes two results the same candidate."""
    return result.name, result.batch


def change(old: Result, new: Result, tolerance: float, max_drop: float) -> Change:
    """Judges one candidate."""
    timed = None if old.evaluated or new.evaluated else slowdown(slices_of(old), slices_of(new))
    title, lost_figure = _headline_drop(old, new)
    lost_agreement = _agreement_drop(old, new)
    reasons = []
    if timed and timed[1] > 1 + tolerance:
        ratio, low, _ = timed
        reasons.append(f"slower by {ratio - 1:.1%}, surely by {low - 1:.1%}; allowed are {tolerance:.1%}")
    for name, lost in ((title, lost_figure), ("agreement", lost_agreement)):
        if lost is not None and lost > max_drop:
            reasons.append(f"{name} fell by {lost:.2f} points, allowed are {max_drop:.2f}")
    judged = (title, lost_figure, lost_agreement, _verdict(timed, tolerance, reasons), bool(reasons), tuple(reasons))
    if timed is None:
        return Change(old.name, None, None, None, None, *judged)
    return Change(old.name, old.p50_ms, new.p50_ms, timed[0], timed[1:], *judged)


def _verdict(timed: tuple[float, float, float] | None, tolerance: float, reasons: list[str]) -> Judgement:
    if reasons:
        return "slower" if reasons[0].startswith("slower") else "less accurate"
    if timed is None:
        return "same"
    ratio, low, high = timed
    if high < 1:
        return "faster"
    return "perhaps slower" if ratio > 1 + tolerance and low <= 1 + tolerance else "same"


def _headline_drop(old: Result, new: Result) -> tuple[str | None, float | None]:
    first, second = _on_the_same_set(old, new)
    if first is None or second is None or first.headline is None or second.headline is None:
        return None, None
    figure, score = first.headline
    return figure.title, score.engine - second.headline[1].engine


def _agreement_drop(old: Result, new: Result) -> float | None:
    first, second = _on_the_same_set(old, new)
    if first is None or second is None or first.agreement is None or second.agreement is None:
        return None
    return (first.agreement - second.agreement) * 100


def _on_the_same_set(old: Result, new: Result) -> tuple[Accuracy | None, Accuracy | None]:
    if old.accuracy is None or new.accuracy is None or old.accuracy.data != new.accuracy.data:
        return None, None
    return old.accuracy, new.accuracy


def slices_of(result: Result) -> Times:
    """Milliseconds of each slice, ``[launches, rounds]``."""
    shortest = min(len(launch) for launch in result.slices_ms)
    return np.array([launch[:shortest] for launch in result.slices_ms])


def notes(before: Document, after: Document, common: set[tuple[str, int]]) -> list[str]:
    """What differs between the circumstances, in words."""
    said = ["both are the same measurement"] if before == after else []
    for name in ("cpu", "cores", "governor", "power", "gpu"):
        old, new = getattr(before.environment, name), getattr(after.environment, name)
        if old != new:
            said.append(f"measured on different machines or modes: {name} {old} then, {new} now")
    for document, when in ((before, "before"), (after, "after")):
        missing = [result.name for result in document.results if key_of(result) not in common]
        if missing:
            said.append(f"only {when}: {', '.join(missing)}")
        said += [f"{when}: {line}" for line in document.warnings]
    return said
