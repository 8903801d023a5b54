"""Percentiles, spread and speed-ups as numbers over arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from dmformer.evaluation.latency import statistics

Machine = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]


@pytest.mark.parametrize(("percentile", "count"), [(0.9, 64), (0.95, 130), (0.99, 662)])
def test_a_percentile_appears_with_its_last_sample(percentile: float, count: int) -> None:
    times = np.arange(count, dtype=np.float64)
    assert statistics.early_stopping(times[:-1], percentile) is None
    # One sample may lie above the true percentile: the largest is surely not below it.
    assert statistics.early_stopping(times, percentile) == count - 1


@pytest.mark.parametrize(("samples", "discarded"), [(64, 0), (2048, 172), (2116, 178), (2145, 181), (7469, 685)])
def test_as_many_are_discarded_as_loadgen_says(samples: int, discarded: int) -> None:
    """From "Would discard N highest latency queries" in published MLPerf single stream logs, 90th percentile."""
    times = np.random.default_rng(0).permutation(samples).astype(np.float64)
    found = statistics.early_stopping(times, 0.9)
    assert found is not None
    assert np.count_nonzero(times > found) == discarded


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
    found = statistics.speedup(reference, candidate / 2)
    assert found == statistics.speedup(reference, candidate / 2)
    ratio, low, high = found
    assert low <= 2 <= high
    assert 1.95 < low <= ratio <= high < 2.05


def quiet(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Each launch of a process is a little faster or slower as a whole, each slice a little more."""
    return generator.lognormal(0, 0.01, (shape[0], 1)) * generator.lognormal(0, 0.02, shape)


def placement(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Nearly all of the difference is between processes."""
    return generator.lognormal(0, 0.05, (shape[0], 1)) * generator.lognormal(0, 0.002, shape)


def busy(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Another process comes and goes, for several slices at a time, and takes up to nine tenths of the machine."""
    disturbed = generator.random(shape) < 0.2
    disturbed |= np.roll(disturbed, 1, axis=1)
    return quiet(generator, shape) * np.where(disturbed, generator.uniform(1, 10, shape), 1)


@pytest.mark.parametrize("machine", [quiet, placement, busy])
@pytest.mark.parametrize("shape", [(5, 6), (3, 10), (12, 4)], ids=str)
def test_equal_candidates_are_told_equal(machine: Machine, shape: tuple[int, int]) -> None:
    """Demanded are 19 of 20; the interval promises 99 of 100."""
    generator = np.random.default_rng(2)
    held = 0
    for _ in range(1000):
        _, low, high = statistics.speedup(machine(generator, shape), machine(generator, shape))
        held += low <= 1 <= high
    assert held >= 980


@pytest.mark.parametrize("launches", [1, 2])
def test_few_launches_are_cut_into_pieces(launches: int) -> None:
    """Nothing then tells how processes differ, but a disturbance that outlasts a slice does no harm."""
    generator = np.random.default_rng(3)
    shape = (launches, 30 // launches)
    held = 0
    for _ in range(300):
        sides = []
        for _ in range(2):
            slow = np.cumsum(generator.normal(0, 0.01, shape), axis=1) * 0.3
            sides.append(np.exp(slow - slow.mean() + generator.normal(0, 0.02, shape)))
        _, low, high = statistics.speedup(*sides)
        held += low <= 1 <= high
    assert held >= 285
    assert len(statistics.independent(np.log(sides[0]))) == statistics.PIECES


def test_measurements_on_different_days_are_compared_by_their_launches() -> None:
    generator = np.random.default_rng(4)
    held = 0
    for _ in range(500):
        before, after = quiet(generator, (5, 6)), 1.1 * placement(generator, (8, 4))
        _, low, high = statistics.slowdown(before, after)
        held += low <= 1.1 <= high
    assert held >= 490


def test_students_quantiles_are_right() -> None:
    grid = np.linspace(0, 1, 200_001)[:-1]
    for freedom, quantile in enumerate(statistics.STUDENT, 1):
        # The density over all of [0, quantile], against its value over [0, infinity) by substituting x = u / (1 - u).
        x = grid / (1 - grid)
        whole = np.trapezoid((1 + x**2 / freedom) ** (-(freedom + 1) / 2) / (1 - grid) ** 2, grid)
        inside = np.linspace(0, quantile, 200_001)
        part = np.trapezoid((1 + inside**2 / freedom) ** (-(freedom + 1) / 2), inside)
        assert part / whole == pytest.approx(statistics.CONFIDENCE, abs=2e-5)


def test_two_slices_say_little_but_in_finite_numbers() -> None:
    ratio, low, high = statistics.speedup(np.array([[2.0, 9.0]]), np.array([[1.0, 1.0]]))
    assert low < 1 < ratio < high < float("inf")


@pytest.mark.parametrize("times", [[1.0], [2.0, 2.0], [1.0, 5.0, 100.0]])
def test_every_sample_is_in_the_histogram(times: list[float]) -> None:
    edges, counts = statistics.histogram(np.array(times))
    assert sum(counts) == len(times)
    assert len(edges) == len(counts) + 1
    assert edges == sorted(edges)


def test_variation_is_of_the_slices() -> None:
    assert statistics.variation(np.array([1.0])) == 0
    assert statistics.variation(np.array([9.0, 11.0])) == pytest.approx(2**0.5 / 10)
