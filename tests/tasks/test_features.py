"""Features: four outputs as one array and apart again, each compared with PyTorch's by itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dmformer.evaluation.metrics import Measured
from dmformer.evaluation.tolerances import failures
from dmformer.manifest import Tolerance
from dmformer.model.config import ModelConfig
from dmformer.tasks.base import Result, joined, joined_shape
from dmformer.tasks.features import FeatureMaps, FeaturesHead

WIDTHS = (7, 8, 13, 20)
TASK = FeatureMaps(FeaturesHead(widths=WIDTHS))


def maps(size: tuple[int, int], count: int = 3, seed: int = 0) -> tuple[NDArray[np.float32], ...]:
    random = np.random.default_rng(seed)
    # Of very different scales, as trained maps are.
    return tuple(
        (random.standard_normal([side or 0 for side in spec.shape]) * 10**index).astype(np.float32)
        for index, spec in enumerate(TASK.outputs(size, count))
    )


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (224, 224), (2048, 32)], ids=str)
def test_what_is_joined_comes_apart_at_every_size(size: tuple[int, int]) -> None:
    given = maps(size)
    row = joined(given)
    assert row.shape == joined_shape(TASK.outputs(size, 3))
    for part, map_ in zip(TASK.parts(row), given, strict=True):
        assert np.array_equal(part, map_.reshape(3, -1))


def test_one_output_stays_as_it_is() -> None:
    one = np.zeros((2, 3, 4), np.float32)
    assert joined([one]) is one


def test_the_worst_map_is_what_an_engine_is_judged_by() -> None:
    """A wrong first map is nothing beside the last one's values, and is found all the same."""
    right = maps((32, 32))
    wrong = (right[0] * 1.1, *right[1:3], right[3] * 1.001)
    measured = Measured(TASK, "exact")
    measured.add(joined(right), Result(joined(wrong)), [None] * 3)
    comparison = measured.comparison("maps", "0" * 64)
    first, second, third, last = comparison.sqnr_db_by_output
    assert first == pytest.approx(20, abs=0.01) and last == pytest.approx(60, abs=0.01)
    assert second is None and third is None
    assert comparison.sqnr_db == first
    assert (comparison.decisions, comparison.agreement, comparison.figures) == (None, None, {})
    assert failures(comparison, Tolerance(min_sqnr_db=25, min_agreement=0.99, max_drop=0.1), None) == [
        "maps: SQNR 20.0 dB is below 25.0 dB"
    ]
    assert failures(comparison, Tolerance(min_sqnr_db=15), None) == []
    assert measured.relative_noise == pytest.approx(0.01, rel=0.01)


def test_an_error_weighs_by_its_own_map() -> None:
    right = maps((32, 32))
    wrong = (right[0] + 0.01, *right[1:3], right[3] + 0.1)  # more, but of a map of a thousand times the values
    measured = Measured(TASK, "exact")
    measured.add(joined(right), Result(joined(wrong)), [None] * 3)
    comparison = measured.comparison("maps", "0" * 64)
    assert comparison.max_abs_error == pytest.approx(0.01, rel=0.01)
    assert comparison.reference_scale == pytest.approx(float(np.abs(right[0]).max()))


def test_a_head_of_other_widths_is_refused() -> None:
    head = FeaturesHead(widths=(7, 8, 13, 21))
    with pytest.raises(ValueError, match=r"the head takes maps of \(7, 8, 13, 21\) channels, the stages give"):
        ModelConfig(widths=WIDTHS, depths=(1, 1, 1, 1), head=head)
