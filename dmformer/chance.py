"""How far chance alone goes in few images: exact binomial, one-sided, at a level that is this project's choice."""

from __future__ import annotations

from math import exp, lgamma, log

CHANCE = 0.05


def most_by_chance(count: int, share: float) -> int:
    """The number of hits that ``count`` trials exceed with a probability of `CHANCE` at most.

    Args:
        count: Trials, 1 or more.
        share: Of hits among all that could be tried, 0 to 1.
    """
    if not 0 < share < 1:
        return 0 if share <= 0 else count
    hits, likely = 0, 0.0
    while hits < count:
        ways = lgamma(count + 1) - lgamma(hits + 1) - lgamma(count - hits + 1)
        likely += exp(ways + hits * log(share) + (count - hits) * log(1 - share))
        if likely >= 1 - CHANCE:
            break
        hits += 1
    return hits
