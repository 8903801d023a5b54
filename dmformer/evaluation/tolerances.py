"""What an engine must keep, per precision, and whether it did."""

from __future__ import annotations

from pydantic import ValidationError

from dmformer.errors import UsageError
from dmformer.manifest import Comparison, Tolerance
from dmformer.precision import Precision

DEFAULTS: dict[Precision, Tolerance] = {
    "fp32": Tolerance(max_abs_error=1e-4, min_agreement=0.999, min_sqnr_db=80.0, max_top1_drop=0.05),
    "fp16": Tolerance(min_agreement=0.98, min_sqnr_db=25.0, max_top1_drop=0.3),
    "int8": Tolerance(min_agreement=0.97, min_sqnr_db=20.0, max_top1_drop=0.5),
}
"""This project's choice. FP16 leaves room for bfloat16 arithmetic, which is what CPUs execute it in."""

ENOUGH_IMAGES = 200
"""Shares are judged from this many images up: of 32, one flip alone is 3 %. One that the user asked for is judged on
the largest set in any case."""

SHARES = ("min_agreement", "max_top1_drop")


def with_overrides(base: Tolerance, **overrides: float | None) -> Tolerance:
    """A tolerance with the values that the user asked for; None leaves the base's.

    Raises:
        UsageError: A value is no number, or out of range.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    on_few = base.on_few_images or not given.keys().isdisjoint(SHARES)
    try:
        return Tolerance.model_validate({**base.model_dump(), **given, "on_few_images": on_few})
    except ValidationError as error:
        first = error.errors()[0]
        name = first["loc"][0]
        raise UsageError(f"the tolerance {name} cannot be {first['input']}: {first['msg']}") from error


def failures(found: Comparison, asked: Tolerance, is_largest: bool = False) -> list[str]:
    """In words, everything that a comparison fell short of. Empty where it passed."""
    problems = [_error(found, asked), _noise(found, asked)]
    if found.images >= ENOUGH_IMAGES or (is_largest and asked.on_few_images):
        problems += [_agreement(found, asked), _top1(found, asked)]
    return [f"{found.data}: {problem}" for problem in problems if problem]


def _error(found: Comparison, asked: Tolerance) -> str | None:
    if asked.max_abs_error is None or found.max_abs_error is None or found.reference_scale is None:
        return None
    allowed = asked.max_abs_error * max(1.0, found.reference_scale)
    return None if found.max_abs_error <= allowed else f"max abs error {found.max_abs_error:.2e} is above {allowed:.2e}"


def _noise(found: Comparison, asked: Tolerance) -> str | None:
    if asked.min_sqnr_db is None or found.sqnr_db is None or found.sqnr_db >= asked.min_sqnr_db:
        return None
    return f"SQNR {found.sqnr_db:.1f} dB is below {asked.min_sqnr_db:.1f} dB"


def _agreement(found: Comparison, asked: Tolerance) -> str | None:
    if asked.min_agreement is None or found.agreement is None or found.agreement >= asked.min_agreement:
        return None
    return f"agreement {found.agreement:.2%} is below {asked.min_agreement:.2%}"


def _top1(found: Comparison, asked: Tolerance) -> str | None:
    if asked.max_top1_drop is None or found.top1 is None or found.reference_top1 is None:
        return None
    drop = found.reference_top1 - found.top1
    return (
        None
        if drop <= asked.max_top1_drop
        else f"top-1 fell by {drop:.2f} points, allowed are {asked.max_top1_drop:.2f}"
    )
