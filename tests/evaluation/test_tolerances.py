"""What is below a tolerance, in words; and what the user may ask for."""

from __future__ import annotations

from typing import Any

import pytest

from dmformer.errors import UsageError
from dmformer.evaluation.tolerances import DEFAULTS, ENOUGH_DECISIONS, failures, with_overrides
from dmformer.manifest import Comparison, Tolerance
from dmformer.tasks.base import Figure

TOP1 = Figure("top1", "top-1")


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
    assert failures(comparison(), asked, TOP1) == ([f"images: {words}"] if words else [])


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


def test_shares_of_few_images_are_judged_where_somebody_asked_for_them_and_on_the_largest_set_only() -> None:
    few = comparison(images=ENOUGH_DECISIONS - 1, agreement=0.5, sqnr_db=100, max_abs_error=0)
    assert failures(few, DEFAULTS["fp32"], TOP1, is_largest=True) == []
    asked = with_overrides(DEFAULTS["fp32"], min_agreement=0.9)
    assert len(failures(few, asked, TOP1, is_largest=True)) == 2
    assert failures(few, asked, TOP1) == []
    assert not with_overrides(DEFAULTS["fp32"], min_sqnr_db=3).on_few_images


def test_decisions_are_counted_not_images() -> None:
    dense = comparison(images=1, decisions=ENOUGH_DECISIONS, agreement=0.5, sqnr_db=100, max_abs_error=0)
    assert len(failures(dense, DEFAULTS["fp32"], TOP1)) == 2


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
