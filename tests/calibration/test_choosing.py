"""Ranges follow from what the images show: the way of choosing them, and whether the engine's images are like them."""

from __future__ import annotations

import numpy as np
import pytest

from dmformer.calibration.choosing import BRIGHTER, brighter, least_noise
from dmformer.calibration.collect import TRIED, tried
from dmformer.calibration.factors import rescaled
from dmformer.calibration.likeness import unlike
from dmformer.graph.qdq.affine import Range
from tests.calibration.graphs import PREPROCESSING, batches, canonical_graph, images, ranges


def test_the_choice_that_changes_outputs_least_is_taken() -> None:
    model = rescaled(canonical_graph(), ranges().channel_scales())
    right = ranges().spans()
    narrow, wide = (
        {site: Range(span.low * factor, span.high * factor) for site, span in right.items()} for factor in (0.2, 20)
    )
    choices = {"narrow": narrow, "right": right, "wide": wide}
    assert least_noise(model, choices, batches(images()), 24, PREPROCESSING) == "right"


def test_two_ways_are_tried_unless_one_is_asked_for() -> None:
    assert tried("auto", random=False) == TRIED
    assert tried("auto", random=True) == TRIED[:1]
    assert tried("percentile", random=False) == ("percentile",)
    assert ranges().method in TRIED


def test_brighter_pixels_are_cut_off_at_white() -> None:
    pixels = np.array([0.0, 0.4, 1.0], np.float32).reshape(1, 1, 1, 3).repeat(3, axis=1)
    mean, std = (np.array(one, np.float32)[:, None, None] for one in (PREPROCESSING.mean, PREPROCESSING.std))
    lit = brighter((pixels - mean) / std, PREPROCESSING) * std + mean
    assert lit[0, :, 0] == pytest.approx(np.array([[0, 0.4 * BRIGHTER, 1]] * 3), abs=1e-6)


def test_images_that_leave_the_ranges_are_noticed() -> None:
    assert unlike(canonical_graph(), ranges(), [images(8)]) is None
    beyond = unlike(canonical_graph(), ranges(), [3 * images(8, seed=7)])
    assert beyond is not None and "beyond the calibrated ranges" in beyond
