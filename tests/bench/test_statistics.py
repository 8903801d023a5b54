"""Percentiles, spread and speed-ups as numbers over arrays."""

from __future__ import annotations

import numpy as np
import pytest

from dmformer.evaluation.latency import statistics


def test_percentiles_need_the_samples_that_mlperf_asks_for() -> None:
    assert [statistics.samples_needed(p) for p in (0.9, 0.95, 0.99)] == [64, 130, 662]


@pytest.mark.parametrize(("percentile", "count"), [(0.9, 64), (0.95, 130), (0.99, 662)])
def test_a_percentile_appears_with_its_last_sample(percentile: float, count: int) -> None:
    times = np.arange(count, dtype=np.float64)
    assert statistics.early_stopping(times[:-1], percentile) is None
    # One sample may lie above the bound: the second largest is reported.
    assert statistics.early_stopping(times, percentile) == count - 2


def test_the_estimate_is_above_the_true_percentile_in_99_of_100_tries() -> None:
    generator = np.random.default_rng(0)
    draws = [statistics.early_stopping(generator.uniform(0, 1, 300), 0.9) for _ in range(1000)]
    below = sum(1 for value in draws if value is not None and value < 0.9)
    assert below <= 20


def test_many_samples_bring_the_estimate_close_to_the_plain_percentile() -> None:
    times = np.random.default_rng(0).permutation(100_000).astype(np.float64)
    found = statistics.early_stopping(times, 0.99)
    assert found is not None
    assert 99_000 <= found <= 99_100


def test_speedup_finds_a_known_ratio_and_is_deterministic() -> None:
    generator = np.random.default_rng(1)
    drift = 1 + 0.5 * generator.random((5, 6))
    reference, candidate = (3 * drift * generator.lognormal(0, 0.01, (5, 6)) for _ in range(2))
    found = statistics.speedup(reference, candidate / 2, seed=3)
    assert found == statistics.speedup(reference, candidate / 2, seed=3)
    ratio, low, high = found
    assert low <= 2 <= high
    assert 1.97 < low <= ratio <= high < 2.03


def test_the_interval_contains_the_truth_in_19_of_20_tries() -> None:
    generator = np.random.default_rng(2)
    held = 0
    for _ in range(100):
        # Each launch of a process is a little faster or slower as a whole, each slice a little more.
        sides = [generator.lognormal(0, 0.01, (5, 1)) * generator.lognormal(0, 0.02, (5, 6)) for _ in range(2)]
        _, low, high = statistics.speedup(sides[0], sides[1])
        held += low <= 1 <= high
    assert held >= 95


def test_a_single_slice_says_nothing() -> None:
    ratio, low, high = statistics.speedup(np.array([[2.0]]), np.array([[1.0]]))
    assert (ratio, low) == (2.0, 0.0)
    assert high > 1e6


@pytest.mark.parametrize("times", [[1.0], [2.0, 2.0], [1.0, 5.0, 100.0]])
def test_every_sample_is_in_the_histogram(times: list[float]) -> None:
    edges, counts = statistics.histogram(np.array(times))
    assert sum(counts) == len(times)
    assert len(edges) == len(counts) + 1
    assert edges == sorted(edges)


def test_variation_is_of_the_slices() -> None:
    assert statistics.variation(np.array([1.0])) == 0
    assert statistics.variation(np.array([9.0, 11.0])) == pytest.approx(2**0.5 / 10)
