"""What is below a tolerance, in words; and what the user may ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dmformer.chance import CHANCE, most_by_chance
from dmformer.errors import UsageError
from dmformer.evaluation.tolerances import DEFAULTS, failures, too_few, with_overrides, within_chance
from dmformer.manifest import Comparison, Tolerance
from dmformer.precision import Precision
from dmformer.tasks.base import Figure

TOP1 = Figure("top1", "top-1")
FLOORS = {"fp32": 0.999, "fp16": 0.98, "int8": 0.97}


def comparison(**changes: Any) -> Comparison:
    values = {
        "data": "images",
        "data_sha256": "0" * 64,
        "images": 1000,
        "agreement": 0.99,
        "sqnr_db": 40.0,
        "max_abs_error": 0.5,
        "reference_scale": 10.0,
        "figures": {"top1": {"engine": 90.0, "reference": 90.4}, "top5": {"engine": 0.0, "reference": 99.0}},
    }
    return Comparison.model_validate(values | changes)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Tolerance(max_abs_error=0.05), None),
        (Tolerance(max_abs_error=0.049), "max abs error 5.00e-01 is above 4.90e-01"),
        (Tolerance(min_agreement=0.99), None),
        (Tolerance(min_agreement=0.991), "agreement 99.00% is below 99.10%"),
        (Tolerance(min_sqnr_db=40), None),
        (Tolerance(min_sqnr_db=40.1), "SQNR 40.0 dB is below 40.1 dB"),
        (Tolerance(max_drop=0.41), None),
        (Tolerance(max_drop=0.3), "top-1 fell by 0.40 points, allowed are 0.30"),
        (Tolerance(), None),
    ],
)
def test_each_figure_is_judged_at_its_limit(asked: Tolerance, words: str | None) -> None:
    on_few = asked.model_copy(update={"on_few_images": True})
    assert failures(comparison(), on_few, TOP1, as_asked=True) == ([f"images: {words}"] if words else [])


def test_an_error_is_in_units_of_the_largest_logit_but_never_of_less_than_one() -> None:
    asked = Tolerance(max_abs_error=1e-4)
    assert failures(comparison(max_abs_error=9e-5, reference_scale=0.01), asked, TOP1) == []
    assert failures(comparison(max_abs_error=2e-4, reference_scale=0.01), asked, TOP1)


def test_equal_outputs_pass_everything() -> None:
    equal = comparison(sqnr_db=None, max_abs_error=0, agreement=1, figures={"top1": {"engine": 90, "reference": 90}})
    assert all(failures(equal, DEFAULTS[precision], TOP1) == [] for precision in DEFAULTS)


def test_what_was_not_measured_is_not_judged() -> None:
    unknown = comparison(sqnr_db=None, max_abs_error=None, agreement=None, figures={"top1": {"engine": 90}})
    assert failures(unknown, DEFAULTS["fp32"], TOP1) == []


@pytest.mark.parametrize(
    ("precision", "images", "equal", "passes"),
    [
        ("int8", 100, 93, False),
        ("int8", 100, 94, True),
        ("int8", 400, 362, False),  # 90.5 %
        ("int8", 32, 29, True),
        ("int8", 32, 28, False),
        ("fp32", 32, 31, True),
        ("fp32", 32, 30, False),
        ("fp16", 6, 5, True),
        ("fp16", 6, 4, False),
        ("int8", 200, 190, True),
        ("int8", 200, 188, False),
        ("int8", 10_000, 9_672, True),
        ("int8", 10_000, 9_671, False),
        ("int8", 1_000_000, 969_719, True),  # taken as normal
        ("int8", 1_000_000, 969_718, False),
    ],
)
def test_the_default_floor_of_agreement_leaves_room_for_chance_and_no_more(
    precision: Precision, images: int, equal: int, passes: bool
) -> None:
    few = comparison(images=images, agreement=equal / images, sqnr_db=100, max_abs_error=0, figures={})
    for as_asked in (True, False):
        found = failures(few, DEFAULTS[precision], TOP1, as_asked)
        assert (not found) is passes, found
        said = within_chance(few, DEFAULTS[precision], TOP1)
        assert bool(said) is (passes and equal / images < FLOORS[precision]), said
        assert all(f"{images} images" in line for line in (*found, *said)), "what was allowed is said"


@pytest.mark.parametrize(
    ("images", "lost", "won", "passes"),
    [
        (32, 1, None, True),
        (100, 3, None, True),  # nobody counted in pairs: none was won
        (100, 4, None, False),
        (100, 4, 0, False),
        (100, 8, 4, True),  # the same drop among more flips
        (600, 9, 6, True),
        (600, 15, 4, False),
        (10_000, 80, 20, True),  # 0.6 points, give or take 0.1
        (10_000, 90, 20, False),
    ],
)
def test_the_default_floor_of_the_headline_has_room_for_the_sampling_error_of_flips(
    images: int, lost: int, won: int | None, passes: bool
) -> None:
    drop = 100 * (lost - (won or 0)) / images
    scores = {"top1": {"engine": 80 - drop, "reference": 80}}
    error = None if won is None else 100 * (lost + won) ** 0.5 / images
    few = comparison(images=images, agreement=1, sqnr_db=100, max_abs_error=0, figures=scores, drop_error=error)
    found = failures(few, DEFAULTS["int8"], TOP1, as_asked=True)
    assert (not found) is passes, found
    assert passes or "top-1 fell by" in found[0]
    asked = with_overrides(DEFAULTS["int8"], max_drop=0.4)
    assert failures(few, asked, TOP1, as_asked=True), "what somebody asked for is judged as it stands"


def test_where_one_image_is_more_than_may_be_missed_more_are_asked_for() -> None:
    few = comparison(images=100, figures={"top1": {"engine": 80, "reference": 80}})
    (said,) = too_few(few, with_overrides(DEFAULTS["int8"], max_drop=0.1), TOP1)
    assert said == (
        "images: one of 100 is 1.00% of them: for what top-1 was asked to keep, give 1,000 or more with --data"
    )
    counted = few.model_copy(update={"decisions": 100})
    (said,) = too_few(counted, with_overrides(DEFAULTS["int8"], min_agreement=0.995), TOP1)
    assert "for what agreement was asked to keep, give 200 or more" in said
    for enough in ({"max_drop": 1.0}, {"max_drop": 0.0}, {"min_agreement": 0.99}, {"min_agreement": 1.0}, {}):
        assert too_few(counted, with_overrides(DEFAULTS["int8"], **enough), TOP1) == []


def test_what_somebody_asked_for_leaves_no_room_on_the_largest_set() -> None:
    few = comparison(images=32, agreement=30 / 32, sqnr_db=100, max_abs_error=0)
    asked = with_overrides(DEFAULTS["int8"], min_agreement=0.97)
    assert failures(few, asked, TOP1, as_asked=True) == ["images: agreement 93.75% is below 97.00%"]
    assert failures(few, asked, TOP1) == [], "beside a larger set, chance has its room"
    assert with_overrides(asked, max_drop=0.1).on_few_images == ("min_agreement", "max_drop")
    assert not with_overrides(DEFAULTS["fp32"], min_sqnr_db=3).on_few_images
    both = Tolerance(min_agreement=0.9, max_drop=1, on_few_images=True)
    assert both.is_asked("min_agreement") and both.is_asked("max_drop"), "as earlier versions wrote it"


@pytest.mark.parametrize(("count", "share"), [(32, 0.03), (199, 0.001), (150, 0.3), (10_000, 0.1)])
def test_chance_is_the_exact_binomial(count: int, share: float) -> None:
    drawn = np.random.default_rng(0).binomial(count, share, 200_000)
    most = most_by_chance(count, share)
    assert (drawn > most).mean() <= CHANCE + 0.002
    assert (drawn > most - 1).mean() > CHANCE - 0.002, "and no more than needed"
    assert (most_by_chance(count, 0), most_by_chance(count, 1)) == (0, count)


def test_of_agreement_decisions_are_counted_and_of_right_answers_images() -> None:
    """Of one image with many places nothing but chance says how much is right."""
    dense = comparison(images=1, decisions=200, agreement=0.5, sqnr_db=100, max_abs_error=0)
    (failure,) = failures(dense, DEFAULTS["fp32"], TOP1)
    assert "agreement" in failure
    many = comparison(images=10_000, decisions=200, agreement=0.5, sqnr_db=100, max_abs_error=0)
    assert len(failures(many, DEFAULTS["fp32"], TOP1)) == 2


def test_overrides_leave_the_rest() -> None:
    changed = with_overrides(DEFAULTS["fp16"], min_sqnr_db=50, min_agreement=None)
    assert changed.min_sqnr_db == 50
    assert changed.min_agreement == DEFAULTS["fp16"].min_agreement


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_abs_error", 0),
        ("max_abs_error", -1),
        ("max_abs_error", float("nan")),
        ("min_agreement", 1.1),
        ("min_sqnr_db", float("nan")),
        ("max_drop", float("inf")),
    ],
)
def test_values_that_can_hold_nothing_are_refused(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=name):
        with_overrides(DEFAULTS["fp32"], **{name: value})
