"""What an engine must keep, per precision, and whether it did."""

from __future__ import annotations

from pydantic import ValidationError

from dmformer.errors import UsageError
from dmformer.manifest import Comparison, Tolerance
from dmformer.precision import Precision
from dmformer.tasks.base import Figure

DEFAULTS: dict[Precision, Tolerance] = {
    "fp32": Tolerance(max_abs_error=1e-4, min_agreement=0.999, min_sqnr_db=80.0, max_drop=0.05),
    "fp16": Tolerance(min_agreement=0.98, min_sqnr_db=25.0, max_drop=0.3),
    "int8": Tolerance(min_agreement=0.97, min_sqnr_db=20.0, max_drop=0.5),
}
"""This project's choice. FP16 leaves room for bfloat16 arithmetic, which is what CPUs execute it in."""

ENOUGH_DECISIONS = 200
"""Shares are judged from this many decisions up: of 32, one flip alone is 3 %. One that the user asked for is judged on
the largest set in any case."""

SHARES = ("min_agreement", "max_drop")


def with_overrides(base: Tolerance, **overrides: float | None) -> Tolerance:
    """A tolerance with the values that the user asked for; None leaves the base's.

    Raises:
        UsageError: A value is no number, or out of range.
    """
    changed = {name: value for name, value in overrides.items() if value is not None}
    on_few = base.on_few_images or not changed.keys().isdisjoint(SHARES)
    try:
        return Tolerance.model_validate({**base.model_dump(), **changed, "on_few_images": on_few})
    except ValidationError as error:
        first = error.errors()[0]
        name = first["loc"][0]
        raise UsageError(f"the tolerance {name} cannot be {first['input']}: {first['msg']}") from error


def failures(comparison: Comparison, tolerance: Tolerance, headline: Figure, is_largest: bool = False) -> list[str]:
    """In words, everything that a comparison fell short of. Empty where it passed.

    Args:
        comparison: What was measured.
        tolerance: What must hold.
        headline: The figure of the task whose loss is bounded.
        is_largest: Whether it is the largest set, on which what somebody asked for holds however small it is.
    """
    problems = [_error(comparison, tolerance), _noise(comparison, tolerance)]
    if (comparison.decisions or comparison.images) >= ENOUGH_DECISIONS or (is_largest and tolerance.on_few_images):
        problems += [_agreement(comparison, tolerance), _drop(comparison, tolerance, headline)]
    return [f"{comparison.data}: {problem}" for problem in problems if problem]


def _error(comparison: Comparison, tolerance: Tolerance) -> str | None:
    error, scale = comparison.max_abs_error, comparison.reference_scale
    if tolerance.max_abs_error is None or error is None or scale is None:
        return None
    allowed = tolerance.max_abs_error * max(1.0, scale)
    return None if error <= allowed else f"max abs error {error:.2e} is above {allowed:.2e}"


def _noise(comparison: Comparison, tolerance: Tolerance) -> str | None:
    floor, measured = tolerance.min_sqnr_db, comparison.sqnr_db
    if floor is None or measured is None or measured >= floor:
        return None
    return f"SQNR {measured:.1f} dB is below {floor:.1f} dB"


def _agreement(comparison: Comparison, tolerance: Tolerance) -> str | None:
    floor, measured = tolerance.min_agreement, comparison.agreement
    if floor is None or measured is None or measured >= floor:
        return None
    return f"agreement {measured:.2%} is below {floor:.2%}"


def _drop(comparison: Comparison, tolerance: Tolerance, headline: Figure) -> str | None:
    score = comparison.figures.get(headline.key)
    if tolerance.max_drop is None or score is None or score.drop is None or score.drop <= tolerance.max_drop:
        return None
    return f"{headline.title} fell by {score.drop:.2f} points, allowed are {tolerance.max_drop:.2f}"
