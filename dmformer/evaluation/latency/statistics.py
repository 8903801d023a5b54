"""What is said about latencies: percentiles that the number of samples allows, spread, and a speed-up with its doubt.

Percentiles above the median follow MLPerf's early stopping (MLPerf Inference rules, appendix "Early Stopping"):
of n samples the value is reported that at 99 % confidence is not below the true percentile, and none at all
where n is too small to say so (p90 from 64 samples, p95 from 130, p99 from 662).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.99
RESAMPLES = 4000
BINS = 48

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


def samples_needed(percentile: float) -> int:
    """The fewest samples that a percentile is reported from: one may lie above the bound, as MLPerf asks."""
    count = 1
    while overlatency_allowed(count, percentile) < 1:
        count += 1
    return count


def early_stopping(times: Times, percentile: float) -> float | None:
    """MLPerf's estimate of a percentile, in the unit of ``times``; None where there are too few samples.

    Args:
        times: ``[n]``, in any order.
        percentile: 0 to 1, exclusive, above one half.
    """
    allowed = overlatency_allowed(len(times), percentile) if len(times) else -1
    return float(np.sort(times)[len(times) - 1 - allowed]) if allowed >= 1 else None


def variation(slice_medians: Times) -> float:
    """Coefficient of variation of the slices' medians: standard deviation over mean, 0 for one slice.

    Of medians, so that a single interrupted call does not count as an unsteady machine.
    """
    return float(slice_medians.std(ddof=1) / slice_medians.mean()) if len(slice_medians) > 1 else 0.0


def speedup(
    reference: NDArray[np.float64], candidate: NDArray[np.float64], seed: int = 0
) -> tuple[float, float, float]:
    """How many times as fast a candidate is, from slices that were taken side by side.

    Args:
        reference: Milliseconds for each image: ``[launches, rounds]``, one value for each slice.
        candidate: The same, of the same launches and rounds.
        seed: Of the bootstrap; equal slices and seeds give equal intervals.

    Returns:
        The median ratio over all slices, and the ends of its 99 % interval: a percentile bootstrap that draws
        launches first and then, in blocks of neighbouring rounds, slices within them, because both the placement of
        a process in memory and a disturbance that outlasts a slice move several ratios at once.
    """
    logs = np.log(reference / candidate)
    middle = float(np.median(logs))
    if logs.size < 2:
        return math.exp(middle), 0.0, math.inf
    draws = _resampled_medians(logs, np.random.default_rng(seed))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, (tail, 1 - tail))
    return math.exp(middle), math.exp(min(low, middle)), math.exp(max(high, middle))


def _resampled_medians(logs: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    launches, rounds = logs.shape
    block = max(1, min(3, rounds // 4))
    pieces = -(-rounds // block)
    chosen = generator.integers(0, launches, (RESAMPLES, launches, 1))
    starts = generator.integers(0, rounds, (RESAMPLES, launches, pieces, 1))
    picks = ((starts + np.arange(block)) % rounds).reshape(RESAMPLES, launches, -1)[:, :, :rounds]
    drawn = logs[chosen, picks].reshape(RESAMPLES, -1)
    medians: NDArray[np.float64] = np.median(drawn, axis=1)
    return medians


def histogram(times: Times) -> tuple[list[float], list[int]]:
    """Edges (one more than counts, logarithmic, in the unit of ``times``) and counts of all samples."""
    low, high = float(times.min()), float(times.max())
    if high <= low * 1.0001:
        low, high = low * 0.99, high * 1.01
    edges = np.geomspace(low, high, BINS + 1)
    edges[0], edges[-1] = min(edges[0], times.min()), max(edges[-1], times.max())
    counts, _ = np.histogram(times, edges)
    return [float(edge) for edge in edges], [int(count) for count in counts]
