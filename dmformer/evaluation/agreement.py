"""How far two engines agree with each other, whatever the reference says."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle
from dmformer.runtimes.engine import open_engine


def cross_agreement(bundles: list[Bundle], tensors: NDArray[np.float32]) -> dict[str, float]:
    """Share of equal decisions between every two engines, 0 to 1, by ``"first ~ second"``; none without decisions.

    Args:
        bundles: Engines of one model; each is run once.
        tensors: Preprocessed images, float32 ``[N, C, H, W]``.
    """
    decisions = {}
    for bundle in bundles:
        with open_engine(bundle) as engine:
            size, task = engine.batch_size, bundle.manifest.task
            # Outputs may be large, decisions are not.
            parts = [
                task.decided(engine.run_tensors(tensors[start : start + size]))
                for start in range(0, len(tensors), size)
            ]
            decisions[bundle.manifest.target] = np.concatenate(parts)
    return {
        f"{one} ~ {other}": float((decisions[one] == decisions[other]).mean())
        for one, other in combinations(decisions, 2)
        if decisions[one].size
    }
