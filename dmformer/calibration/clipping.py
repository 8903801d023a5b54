"""From a histogram to the range that 8 bits should cover: min-max, percentile, MSE."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dmformer.calibration.histogram import Histogram
from dmformer.errors import UsageError
from dmformer.graph.qdq.affine import Range

Method = Literal["minmax", "percentile", "mse"]
Chosen = Literal["auto", "minmax", "percentile", "mse"]
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
    return _search(histogram, span)


def _percentile(histogram: Histogram, span: Range) -> Range:
    counts = histogram.counts.copy()
    counts[len(counts) // 2] += histogram.zeros
    shares = np.cumsum(counts) / counts.sum()
    tail = (1 - PERCENTILE / 100) / 2
    edges = histogram.centers
    low, high = edges[np.searchsorted(shares, tail)], edges[np.searchsorted(shares, 1 - tail)]
    return Range(max(span.low, float(min(low, 0))), min(span.high, float(max(high, 0))))


def _search(histogram: Histogram, span: Range) -> Range:
    """Shrinks first the end that reaches farther, then the other one, to the least squared error."""
    present = histogram.counts > 0
    values, counts = histogram.centers[present], histogram.counts[present].astype(np.float64)
    low, high = min(span.low, 0.0), max(span.high, 0.0)
    shares = np.linspace(SMALLEST_SHARE, 1.0, CANDIDATES)
    both = [_squared_error(values, counts, low * share, high * share) for share in shares]
    start = float(shares[int(np.argmin(both))])
    low, high = low * start, high * start
    for end in ("high", "low") if high >= -low else ("low", "high"):
        options = [(low, high * s) if end == "high" else (low * s, high) for s in np.linspace(0.7, 1.3, 25)]
        options = [(max(a, span.low), min(b, span.high)) for a, b in options if b > a]
        low, high = min(options, key=lambda ends: _squared_error(values, counts, *ends), default=(low, high))
    return Range(float(low), float(high))


def _squared_error(values: NDArray[np.float64], counts: NDArray[np.float64], low: float, high: float) -> float:
    """Sum of squared errors of rounding inside the range and of clipping outside; of values that are not zero."""
    step = (high - low) / LEVELS
    outside = np.maximum(values - high, 0) + np.maximum(low - values, 0)
    # What is rounded to zero errs by all of itself, everything else by a part of a step.
    rounding = np.minimum(np.square(values), step**2 / 12)
    return float((counts * np.where(outside > 0, np.square(outside), rounding)).sum())
