"""Figures over arrays of logits, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmformer.evaluation.metrics import Measured
from dmformer.tasks.base import Result
from dmformer.tasks.classification import Classification, LinearHead, TopTally, top_k_count
from tests.support import compare, relative_noise

TASK = Classification(LinearHead(classes=3))
LOGITS = np.array([[3, 1, 2], [0, 5, 4], [1, 2, 9], [7, 6, 5]], np.float32)


def test_top_k_by_hand() -> None:
    labels = np.array([0, 2, 2, 1])
    assert top_k_count(LOGITS, labels, 1) == 2
    assert top_k_count(LOGITS, labels, 2) == 4
    assert top_k_count(LOGITS, np.array([1, 0, 0, 2]), 2) == 0


def test_agreement_by_hand() -> None:
    other = LOGITS.copy()
    other[1] = [9, 5, 4]
    assert compare(LOGITS, other).agreement == 0.75
    assert compare(LOGITS, LOGITS).agreement == 1.0


@pytest.mark.parametrize(
    ("reference", "difference", "expected"),
    [
        ([3.0, 4.0], [0.3, 0.4], 20.0),
        ([3.0, 4.0], [0.0, 0.05], 10 * math.log10(25 / 0.0025)),
        ([3.0, 4.0], [0.0, 0.0], None),
        ([0.0, 0.0], [1.0, 1.0], 10 * math.log10(np.finfo(float).tiny / 2)),
    ],
)
def test_sqnr_by_hand(reference: list[float], difference: list[float], expected: float | None) -> None:
    one = np.array([reference], np.float32)
    measured = compare(one, one + np.array([difference], np.float32)).sqnr_db
    assert measured == (None if expected is None else pytest.approx(expected, rel=1e-6))


def test_sqnr_does_not_lose_small_noise_to_float32() -> None:
    reference = np.full((1, 1000), 1000, np.float32)
    outputs = reference.copy()
    outputs[0, 0] += np.float32(1e-3)
    noise = float(outputs[0, 0]) - 1000
    assert compare(reference, outputs).sqnr_db == pytest.approx(10 * math.log10(1e9 / noise**2))


def test_the_error_of_a_drop_counts_the_answers_that_one_alone_got_right() -> None:
    """Of six images one is lost, two are won, and one is wrong both times."""
    measured, rows = Measured(TASK, "exact"), np.eye(3, dtype=np.float32)
    before, after, labels = [0, 1, 2, 0, 1, 2], [0, 1, 1, 1, 2, 0], [0, 1, 2, 1, 2, 1]
    measured.add(rows[before], Result(rows[after]), labels)
    found = measured.comparison("images", "0" * 64)
    assert found.drop_error == pytest.approx(100 * math.sqrt(1 + 2) / 6)
    unknown = Measured(TASK, "exact")
    unknown.add(rows[before], Result(rows[after]), [None] * 6)
    assert unknown.comparison("images", "0" * 64).drop_error is None


def test_relative_noise_by_hand() -> None:
    reference = np.array([[3.0, 4.0]], np.float32)
    assert relative_noise(reference, np.array([[3.0, 4.5]], np.float32)) == pytest.approx(0.01)


def test_a_comparison_holds_all_of_it() -> None:
    outputs = LOGITS.copy()
    outputs[3] = [6, 7, 5.5]
    result = compare(LOGITS, outputs, np.array([0, 1, 2, 0]))
    assert (result.data, result.data_sha256, result.images, result.decisions) == ("some images", "f" * 64, 4, 4)
    assert result.agreement == 0.75
    assert result.max_abs_error == 1.0
    assert result.reference_scale == 9.0
    assert list(result.figures) == ["top1"], "three classes have no top-5"
    assert (result.figures["top1"].engine, result.figures["top1"].reference) == (75.0, 100.0)
    assert result.sqnr_db == pytest.approx(10 * math.log10(float((LOGITS**2).sum()) / 2.25))


def test_labels_that_are_not_known_give_no_figure() -> None:
    assert compare(LOGITS, LOGITS).figures == {}
    assert compare(LOGITS, LOGITS, np.array([0, -1, 2, 0])).figures == {}


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 9), st.integers(1, 4))
def test_top_k_is_what_sorting_says_whatever_the_batches(seed: int, classes: int, count: int, size: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.standard_normal((count, classes)).astype(np.float32)
    labels = random.integers(0, classes, count)
    tally = TopTally(classes)
    for start in range(0, count, size):
        tally.add(Result(logits[start : start + size]), labels[start : start + size].tolist())
    for key, k in (("top1", 1), ("top5", 5)):
        best = np.argsort(-logits, axis=1)[:, :k]
        expected = 100 * np.mean([label in row for label, row in zip(labels, best, strict=True)])
        assert tally.figures().get(key) == (pytest.approx(expected) if k < classes else None)
