"""How far chance alone goes in a number of images: one-sided, at a level that is this project's choice."""

from __future__ import annotations

from math import exp, lgamma, log, sqrt
from statistics import NormalDist

CHANCE = 0.05
STANDARD_ERRORS = NormalDist().inv_cdf(1 - CHANCE)
"""As many above its mean a normal value is with a probability of `CHANCE`."""
MANY = 100_000
"""From so many trials on the binomial is taken as normal: places of images are counted in billions."""


def most_by_chance(count: int, share: float) -> int:
    """The number of hits that ``count`` trials exceed with a probability of `CHANCE` at most: exact binomial.

    Args:
        count: Trials, 1 or more.
        share: Of hits among all that could be tried, 0 to 1.
    """
    if not 0 < share < 1:
        return 0 if share <= 0 else count
    if count >= MANY:
        return min(count, round(count * share + STANDARD_ERRORS * sqrt(count * share * (1 - share))))
    hits, likely = 0, 0.0
    while hits < count:
        ways = lgamma(count + 1) - lgamma(hits + 1) - lgamma(count - hits + 1)
        likely += exp(ways + hits * log(share) + (count - hits) * log(1 - share))
        if likely >= 1 - CHANCE:
            break
        hits += 1
    return hits
