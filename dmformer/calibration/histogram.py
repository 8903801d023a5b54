"""A histogram of a stream of values in constant memory, in one pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 4096
MOST_VALUES = 2**16
"""Values looked at per update; larger arrays are sampled at a regular stride, each value standing for so many."""
FAR = 1 / 8
"""Share of the reach beyond which every value is looked at."""
NEAR = slice(round(BINS / 2 * (1 - FAR)), round(BINS / 2 * (1 + FAR)))
"""Bins of the others."""
_STRIDES = (1, 3, 7, 13, 31, 61, 127, 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521)


class Histogram:
    """Counts over ``[-reach, reach]``; the reach doubles, and bins merge in pairs, when a value leaves it.

    Attributes:
        reach: Half the width, a power of two times the first value's reach; 0 while nothing was seen.
        counts: int64 ``[BINS]``, of values that are not zero.
        zeros: How many are: zero has a code of its own in every range.
    """

    def __init__(self) -> None:
        self.reach = 0.0
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.zeros = 0

    def update(self, values: NDArray[np.float32], largest: float) -> None:
        """Adds values.

        Args:
            values: Any shape, finite.
            largest: Their largest absolute value, which the caller has already.
        """
        self._grow(largest)
        if self.reach == 0.0:
            self.zeros += values.size
            return
        flat, stride = values.reshape(-1), _stride(values.size)
        sample = flat[::stride]
        zeros = sample.size - int(np.count_nonzero(sample))
        counts = self._counted(sample)
        counts[BINS // 2] -= zeros
        counts *= stride
        if stride > 1:
            # The few far values decide what is cut off: of them all are counted.
            every = self._counted(flat[np.abs(flat) >= np.float32(self.reach * FAR)])
            counts[: NEAR.start], counts[NEAR.stop :] = every[: NEAR.start], every[NEAR.stop :]
        self.zeros += stride * zeros
        self.counts += counts

    def _counted(self, flat: NDArray[np.float32]) -> NDArray[np.int64]:
        # Divided first: the reach, a power of two, may be so small that its inverse is none that float32 holds.
        index = ((flat / np.float32(self.reach) + 1) * np.float32(BINS / 2)).astype(np.intp)
        counts = np.bincount(index, minlength=BINS + 1)
        counts[BINS - 1] += counts[BINS]  # the reach itself
        return counts[:BINS]

    def _grow(self, largest: float) -> None:
        if largest > 0 and self.reach == 0.0:
            self.reach = float(2.0 ** np.ceil(np.log2(largest)))
        while largest > self.reach:
            pairs = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.zeros(BINS, np.int64)
            self.counts[BINS // 4 : BINS // 4 + BINS // 2] = pairs
            self.reach *= 2

    @property
    def centers(self) -> NDArray[np.float64]:
        """The middle of each bin, float64 ``[BINS]``."""
        middles = np.arange(BINS, dtype=np.float64) + 0.5
        return np.asarray(middles * (2 * self.reach / BINS) - self.reach)


def _stride(size: int) -> int:
    """A stride that leaves at most `MOST_VALUES` values: primes, so that it does not lock onto channels or rows."""
    return next((stride for stride in _STRIDES if size <= MOST_VALUES * stride), _STRIDES[-1])
