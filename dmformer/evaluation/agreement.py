"""How far two engines agree with each other, whatever the reference says."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle
from dmformer.evaluation.metrics import agreement
from dmformer.evaluation.verify import run_all
from dmformer.runtimes.registry import open_bundle


def cross_agreement(bundles: list[Bundle], tensors: NDArray[np.float32]) -> dict[str, float]:
    """Share of equal top-1 between every two engines, 0 to 1, by ``"first ~ second"``.

    Args:
        bundles: Engines of one model; each is run once.
        tensors: Preprocessed images, float32 ``[N, C, H, W]``.
    """
    logits = {}
    for bundle in bundles:
        with open_bundle(bundle) as session:
            logits[bundle.manifest.target] = run_all(bundle, session, tensors)
    return {f"{one} ~ {other}": agreement(logits[one], logits[other]) for one, other in combinations(logits, 2)}
