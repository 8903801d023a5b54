"""What is said about latencies: percentiles that the number of samples allows, spread, and a speed-up with its doubt.

Percentiles above the median follow MLPerf's early stopping (MLPerf Inference rules, appendix "Early Stopping", and
LoadGen's ``results.cc``): of n samples the value is reported that at 99 % confidence is not below the true percentile,
and none at all where n is too small to say so (p90 from 64 samples, p95 from 130, p99 from 662).

Intervals of a speed-up are Student's, over launches: what one process keeps for its whole life (where its memory lies,
which cores it was given) moves all of its slices together, and so does a disturbance that outlasts a slice, so that
slices are not independent and launches are.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.99
BINS = 48
LEAST_LAUNCHES = 3
"""With fewer, pieces of each launch take their place; the interval then speaks of these processes alone."""
PIECES = 6
# fmt: off
STUDENT = (
    63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169, 3.106, 3.055, 3.012, 2.977, 2.947,
    2.921, 2.898, 2.878, 2.861, 2.845, 2.831, 2.819, 2.807, 2.797, 2.787, 2.779, 2.771, 2.763, 2.756, 2.750,
)
# fmt: on
"""Two-sided 99 % quantiles of Student's t, from 1 degree of freedom up; with more than 30 the last is close enough."""

Times = NDArray[np.float64]


@lru_cache(maxsize=256)
def overlatency_allowed(samples: int, percentile: float) -> int:
    """The most samples that may lie above a bound which still holds the percentile at 99 % confidence.

    Args:
        samples: How many were taken.
        percentile: 0 to 1, exclusive.

    Returns:
        The largest t with ``P(Binomial(samples, 1 - percentile) <= t) <= 0.01``; -1 where not even 0 does.
    """
    ranks = np.arange(1, samples + 1, dtype=np.float64)
    choose = np.concatenate([[0.0], np.cumsum(np.log((samples - ranks + 1) / ranks))])
    above = np.arange(samples + 1, dtype=np.float64)
    logs = choose + above * math.log1p(-percentile) + (samples - above) * math.log(percentile)
    return int(np.searchsorted(np.cumsum(np.exp(logs)), 1 - CONFIDENCE, side="right")) - 1


def early_stopping(times: Times, percentile: float) -> float | None:
    """MLPerf's estimate of a percentile, in the unit of ``times``; None where there are too few samples.

    Args:
        times: ``[n]``, in any order.
        percentile: 0 to 1, exclusive, above one half.
    """
    allowed = overlatency_allowed(len(times), percentile) if len(times) else -1
    # As LoadGen does, all but one of the samples that may lie above are discarded.
    return float(np.sort(times)[len(times) - allowed]) if allowed >= 1 else None


def variation(slice_medians: Times) -> float:
    """Coefficient of variation of the slices' medians: standard deviation over mean, 0 for one slice.

    Of medians, so that a single interrupted call does not count as an unsteady machine.
    """
    return float(slice_medians.std(ddof=1) / slice_medians.mean()) if len(slice_medians) > 1 else 0.0


def speedup(reference: NDArray[np.float64], candidate: NDArray[np.float64]) -> tuple[float, float, float]:
    """How many times as fast a candidate is, from slices that were taken side by side.

    Args:
        reference: Milliseconds for each image: ``[launches, rounds]``, one value for each slice.
        candidate: The same, of the same launches and rounds.

    Returns:
        The median ratio over all slices, and the ends of its 99 % interval.
    """
    logs = np.log(reference / candidate)
    middle = float(np.median(logs))
    units = independent(logs)
    half = half_width(spread(units), len(units) - 1)
    centre = float(units.mean())
    return exponential(middle), exponential(min(centre - half, middle)), exponential(max(centre + half, middle))


def slowdown(before: NDArray[np.float64], after: NDArray[np.float64]) -> tuple[float, float, float]:
    """How much longer something takes, from two measurements that were not taken side by side.

    Args:
        before: Milliseconds: ``[launches, rounds]``, one value for each slice.
        after: The same, of its own launches and rounds.

    Returns:
        The ratio of the medians, and the ends of its 99 % interval (Welch's, on logarithms).
    """
    first, second = independent(np.log(before)), independent(np.log(after))
    middle = float(np.median(np.log(after)) - np.median(np.log(before)))
    errors = spread(first), spread(second)
    half = half_width(math.hypot(*errors), welch_freedom(errors, (len(first), len(second))))
    centre = float(second.mean() - first.mean())
    return exponential(middle), exponential(min(centre - half, middle)), exponential(max(centre + half, middle))


def independent(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two or more values: each launch's median slice; with too few launches those of their pieces, `PIECES` in all.

    Args:
        logs: ``[launches, rounds]``, two rounds or more.
    """
    if len(logs) >= LEAST_LAUNCHES:
        return np.asarray(np.median(logs, axis=1), np.float64)
    pieces = max(2, min(PIECES // len(logs), logs.shape[1] // 2))
    return np.array([np.median(piece) for launch in logs for piece in np.array_split(launch, pieces)])


def spread(units: NDArray[np.float64]) -> float:
    """Standard error of the mean of two or more values."""
    return float(units.std(ddof=1) / math.sqrt(len(units)))


def half_width(error: float, freedom: int) -> float:
    """Half of the 99 % interval around a mean with this standard error and degrees of freedom."""
    return error * STUDENT[min(freedom, len(STUDENT)) - 1]


def welch_freedom(errors: tuple[float, float], sizes: tuple[int, int]) -> int:
    """Degrees of freedom of a difference of two means (Welch-Satterthwaite), rounded down."""
    squares = [error**2 for error in errors]
    if sum(squares) == 0:
        return min(sizes) - 1
    weighted = sum(square**2 / (size - 1) for square, size in zip(squares, sizes, strict=True))
    return max(1, int(sum(squares) ** 2 / weighted))


def exponential(value: float) -> float:
    """``exp``, kept below the largest ratio that documents hold."""
    return math.exp(min(value, 34.0))


def histogram(times: Times) -> tuple[list[float], list[int]]:
    """Edges (one more than counts, logarithmic, in the unit of ``times``) and counts of all samples."""
    low, high = float(times.min()), float(times.max())
    if high <= low * 1.0001:
        low, high = low * 0.99, high * 1.01
    edges = np.geomspace(low, high, BINS + 1)
    edges[0], edges[-1] = min(edges[0], times.min()), max(edges[-1], times.max())
    counts, _ = np.histogram(times, edges)
    return [float(edge) for edge in edges], [int(count) for count in counts]
