"""Figures over arrays of logits, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmformer.evaluation.metrics import agreement, compare, right_percent, sqnr_db, top_k_percent

LOGITS = np.array([[3, 1, 2], [0, 5, 4], [1, 2, 9], [7, 6, 5]], np.float32)


def test_top_k_by_hand() -> None:
    labels = np.array([0, 2, 2, 1])
    assert top_k_percent(LOGITS, labels, 1) == 50.0
    assert top_k_percent(LOGITS, labels, 2) == 100.0
    assert top_k_percent(LOGITS, np.array([1, 0, 0, 2]), 2) == 0.0


def test_agreement_by_hand() -> None:
    other = LOGITS.copy()
    other[1] = [9, 5, 4]
    assert agreement(LOGITS, other) == 0.75
    assert agreement(LOGITS, LOGITS) == 1.0


def test_sqnr_by_hand() -> None:
    reference = np.array([[3.0, 4.0]])
    assert sqnr_db(reference, reference + np.array([0.3, 0.4])) == pytest.approx(20.0)
    assert sqnr_db(reference, reference + np.array([0, 0.05])) == pytest.approx(10 * math.log10(25 / 0.0025))
    assert sqnr_db(reference, reference) is None
    assert sqnr_db(np.zeros((1, 2)), np.ones((1, 2))) == pytest.approx(10 * math.log10(np.finfo(float).tiny / 2))


def test_sqnr_does_not_lose_small_noise_to_float32() -> None:
    reference = np.full((1, 1000), 1000, np.float32)
    found = reference.copy()
    found[0, 0] += np.float32(1e-3)
    noise = float(found[0, 0]) - 1000
    assert sqnr_db(reference, found) == pytest.approx(10 * math.log10(1e9 / noise**2))


def test_a_comparison_holds_all_of_it() -> None:
    found = LOGITS.copy()
    found[3] = [6, 7, 5.5]
    result = compare(LOGITS, found, np.array([0, 1, 2, 0]), "some images", "f" * 64)
    assert (result.data, result.data_sha256, result.images) == ("some images", "f" * 64, 4)
    assert result.agreement == 0.75
    assert result.max_abs_error == 1.0
    assert result.reference_scale == 9.0
    assert (result.top1, result.reference_top1) == (75.0, 100.0)
    assert (result.top5, result.reference_top5) == (None, None), "three classes have no top-5"
    assert result.sqnr_db == pytest.approx(10 * math.log10(float((LOGITS**2).sum()) / 2.25))


def test_labels_that_are_not_known_give_no_figure() -> None:
    assert right_percent(LOGITS, None, 1) is None
    assert right_percent(LOGITS, np.array([0, -1, 2, 0]), 1) is None
    assert right_percent(LOGITS, np.array([0, 1, 2, 0]), 3) is None


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 9))
def test_top_k_is_what_sorting_says(seed: int, classes: int, count: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.standard_normal((count, classes)).astype(np.float32)
    labels = random.integers(0, classes, count)
    for k in range(1, classes):
        best = np.argsort(-logits, axis=1)[:, :k]
        expected = 100 * np.mean([label in row for label, row in zip(labels, best, strict=True)])
        assert top_k_percent(logits, labels, k) == pytest.approx(expected)
