"""From a histogram to the range that 8 bits should cover: min-max, percentile, MSE, entropy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dmformer.calibration.histogram import Histogram
from dmformer.errors import UsageError
from dmformer.graph.qdq.affine import Range

Method = Literal["minmax", "percentile", "mse", "entropy"]
METHODS: tuple[Method, ...] = get_args(Method)
LEVELS = 255
PERCENTILE = 99.99
"""Share of the values, in percent, that lie inside the range of method ``percentile``."""
SMALLEST_SHARE = 0.3
CANDIDATES = 71


def choose_range(histogram: Histogram, span: Range, method: str) -> Range:
    """The range that a method gives a site.

    Args:
        histogram: Counts of (a sample of) the values.
        span: Exact minimum and maximum of all values.
        method: One of `METHODS`.

    Returns:
        A range inside ``span``.

    Raises:
        UsageError: An unknown method.
    """
    if method not in METHODS:
        raise UsageError(f"calibration method {method!r} is not known", f"use one of {', '.join(METHODS)}")
    if method == "minmax" or histogram.reach == 0.0 or span.low == span.high:
        return span
    if method == "percentile":
        return _percentile(histogram, span)
    return _search(histogram, span, _squared_error if method == "mse" else _divergence)


def _percentile(histogram: Histogram, span: Range) -> Range:
    shares = np.cumsum(histogram.counts) / histogram.counts.sum()
    tail = (1 - PERCENTILE / 100) / 2
    edges = histogram.centers
    low, high = edges[np.searchsorted(shares, tail)], edges[np.searchsorted(shares, 1 - tail)]
    return Range(max(span.low, float(min(low, 0))), min(span.high, float(max(high, 0))))


Cost = Callable[[NDArray[np.float64], NDArray[np.float64], float, float], float]


def _search(histogram: Histogram, span: Range, cost: Cost) -> Range:
    """Shrinks first the end that reaches farther, then the other one, to the least cost."""
    present = histogram.counts > 0
    values, counts = histogram.centers[present], histogram.counts[present].astype(np.float64)
    low, high = min(span.low, 0.0), max(span.high, 0.0)
    shares = np.linspace(SMALLEST_SHARE, 1.0, CANDIDATES)
    both = [cost(values, counts, low * share, high * share) for share in shares]
    start = float(shares[int(np.argmin(both))])
    low, high = low * start, high * start
    for end in ("high", "low") if high >= -low else ("low", "high"):
        options = [(low, high * s) if end == "high" else (low * s, high) for s in np.linspace(0.7, 1.3, 25)]
        options = [(max(a, span.low), min(b, span.high)) for a, b in options if b > a]
        low, high = min(options, key=lambda ends: cost(values, counts, *ends), default=(low, high))
    return Range(float(low), float(high))


def _squared_error(values: NDArray[np.float64], counts: NDArray[np.float64], low: float, high: float) -> float:
    """Sum of squared errors of rounding inside the range and of clipping outside."""
    step = (high - low) / LEVELS
    outside = np.maximum(values - high, 0) + np.maximum(low - values, 0)
    # Zero is exact whatever the step: it would hide the rounding errors of sparse activations.
    inside = counts[(outside == 0) & (values != 0)].sum()
    return float(step**2 / 12 * inside + (counts * outside**2).sum())


def _divergence(values: NDArray[np.float64], counts: NDArray[np.float64], low: float, high: float) -> float:
    """Kullback-Leibler divergence of the quantized distribution from the clipped one (TensorRT's calibrator)."""
    step = max((high - low) / LEVELS, 1e-30)
    codes = np.clip(np.rint((values - low) / step), 0, LEVELS).astype(np.int64)
    reference = counts.copy()
    inside = (values >= low) & (values <= high)
    reference[~inside] = 0
    for end, missing in ((0, counts[values < low].sum()), (-1, counts[values > high].sum())):
        where = np.flatnonzero(inside)
        if len(where):
            reference[where[end]] += missing
    kept = np.where(inside, counts, 0.0)
    mass = np.bincount(codes, kept, LEVELS + 1)
    size = np.bincount(codes, (kept > 0).astype(np.float64), LEVELS + 1)
    spread = np.where(kept > 0, (mass / np.maximum(size, 1))[codes], 0.0)
    p, q = reference / reference.sum(), spread / max(spread.sum(), 1e-30)
    both = (p > 0) & (q > 0)
    return float((p[both] * np.log(p[both] / q[both])).sum() + p[(p > 0) & (q == 0)].sum() * 10)
