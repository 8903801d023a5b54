"""What an engine must keep, per precision, and whether it did."""

from __future__ import annotations

from math import ceil, sqrt
from typing import Literal

from pydantic import ValidationError

from dmformer.chance import STANDARD_ERRORS, most_by_chance
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

SHARES: tuple[Literal["min_agreement", "max_drop"], ...] = ("min_agreement", "max_drop")
ROUNDING = 1e-9
"""Of a difference of two figures."""


def with_overrides(base: Tolerance, **overrides: float | None) -> Tolerance:
    """A tolerance with the values that the user asked for; None leaves the base's.

    Raises:
        UsageError: A value is no number, or out of range.
    """
    changed = {name: value for name, value in overrides.items() if value is not None}
    on_few = tuple(name for name in SHARES if name in changed or base.is_asked(name))
    try:
        return Tolerance.model_validate({**base.model_dump(), **changed, "on_few_images": on_few or False})
    except ValidationError as error:
        first = error.errors()[0]
        name = first["loc"][0]
        raise UsageError(f"the tolerance {name} cannot be {first['input']}: {first['msg']}") from error


def failures(
    comparison: Comparison, tolerance: Tolerance, headline: Figure | None, as_asked: bool = False
) -> list[str]:
    """In words, everything that a comparison fell short of. Empty where it passed.

    Args:
        comparison: What was measured.
        tolerance: What must hold.
        headline: The figure of the task whose loss is bounded, where it has one.
        as_asked: Whether what somebody asked for holds as it is on this set, however small it is: the largest one.
    """
    allowed = with_room(comparison, tolerance, headline, as_asked)
    problems = [_error(comparison, tolerance), _noise(comparison, tolerance)]
    for problem, left in zip(
        _shares(comparison, allowed, headline), _room(comparison, tolerance, allowed), strict=True
    ):
        problems.append(problem and problem + left)
    return [f"{comparison.data}: {problem}" for problem in problems if problem]


def within_chance(comparison: Comparison, tolerance: Tolerance, headline: Figure | None) -> list[str]:
    """In words, what is below a floor on the largest set, but no further than chance may take so many images."""
    allowed = with_room(comparison, tolerance, headline, as_asked=True)
    below = zip(_shares(comparison, tolerance, headline), _shares(comparison, allowed, headline), strict=True)
    many = f"{comparison.data}: of {comparison.images} images that may be chance; verify on more"
    return [f"{nominal} ({many})" for nominal, problem in below if nominal and not problem]


def too_few(comparison: Comparison, tolerance: Tolerance, headline: Figure | None) -> list[str]:
    """In words, what somebody asked for that so few images cannot tell: one alone is more than may be missed."""
    floor, drop = tolerance.min_agreement, tolerance.max_drop
    limits = []
    if floor is not None and comparison.agreement is not None:
        limits.append(("agreement", "min_agreement", comparison.decisions or comparison.images, 1 - floor))
    if drop is not None and headline is not None and headline.key in comparison.figures:
        limits.append((headline.title, "max_drop", comparison.images, drop / 100))
    return [
        f"{comparison.data}: one of {count} is {1 / count:.2%} of them: for what {title} was asked to keep, "
        f"give {ceil(1 / share - ROUNDING):,} or more with --data"
        for title, name, count, share in limits
        if tolerance.is_asked(name) and ROUNDING < share < (1 - ROUNDING) / count
    ]


def with_room(comparison: Comparison, tolerance: Tolerance, headline: Figure | None, as_asked: bool) -> Tolerance:
    """What must hold on a set, with room for chance in what nobody asked for; as `failures`.

    Agreement is a share of the decisions. A drop is counted in pairs, by the images that the engine or PyTorch alone
    got right: chance moves it by a multiple of its standard error.
    """
    counted = comparison.decisions or comparison.images
    changed, points = {"min_agreement": agreement_with_room(tolerance, counted, as_asked)}, tolerance.max_drop
    if points is not None and not (as_asked and tolerance.is_asked("max_drop")):
        changed["max_drop"] = points + STANDARD_ERRORS * _drop_error(comparison, headline)
    return tolerance.model_copy(update=changed)


def agreement_with_room(tolerance: Tolerance, decisions: int, as_asked: bool) -> float | None:
    """What must hold of the agreement on so many decisions; as `with_room`. One may always be missed."""
    floor = tolerance.min_agreement
    if floor is None or (as_asked and tolerance.is_asked("min_agreement")):
        return floor
    return min(floor, (decisions - max(1, most_by_chance(decisions, 1 - floor))) / decisions)


def _drop_error(comparison: Comparison, headline: Figure | None) -> float:
    """The standard error of the headline's drop, in its unit."""
    score = comparison.figures.get(headline.key) if headline else None
    if score is None or score.drop is None:
        return 0.0
    # Where nobody counted in pairs: there were as many at least as were lost.
    fewest = sqrt(max(0.0, score.drop) * 100 / comparison.images)
    return fewest if comparison.drop_error is None else comparison.drop_error


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


def _room(comparison: Comparison, asked: Tolerance, allowed: Tolerance) -> tuple[str, str]:
    """What was asked for where chance was left room: of the agreement, and of the drop."""
    few = f" before chance of {comparison.images} images is allowed for)"
    floor, drop = asked.min_agreement, asked.max_drop
    return (
        f" ({floor:.2%}{few}" if floor is not None and floor != allowed.min_agreement else "",
        f" ({drop:.2f}{few}" if drop is not None and drop != allowed.max_drop else "",
    )


def _shares(comparison: Comparison, tolerance: Tolerance, headline: Figure | None) -> tuple[str | None, str | None]:
    floor, measured = tolerance.min_agreement, comparison.agreement
    score = comparison.figures.get(headline.key) if headline else None
    agreement = drop = None
    if floor is not None and measured is not None and measured < floor:
        agreement = f"agreement {measured:.2%} is below {floor:.2%}"
    most = tolerance.max_drop
    if headline and score is not None and most is not None and (score.drop or 0.0) > most + ROUNDING:
        drop = f"{headline.title} fell by {score.drop:.2f} points, allowed are {most:.2f}"
    return agreement, drop


def accuracy_words(comparison: Comparison, headline: Figure | None) -> str:
    """How an engine compares with the reference, as ``top-1 -0.12 points, agreement 99.10%``, else ``SQNR 31.0 dB``."""
    said = []
    if headline is not None and (score := comparison.figures.get(headline.key)) and score.drop is not None:
        said.append(f"{headline.title} {0 - score.drop:+.2f} points")
    if comparison.agreement is not None:
        said.append(f"agreement {comparison.agreement:.2%}")
    noise = comparison.sqnr_db
    return ", ".join(said) or ("equal" if noise is None else f"SQNR {noise:.1f} dB")
