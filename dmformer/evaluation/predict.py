"""Classes and probabilities from logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle


@dataclass(frozen=True)
class Guess:
    """One class for one image: its index, its label (the index as text where there is none) and its probability."""

    index: int
    label: str
    probability: float


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities over the last axis."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    shares: NDArray[np.float64] = shifted / shifted.sum(-1, keepdims=True)
    return shares


def guesses(bundle: Bundle, logits: NDArray[np.float32], top_k: int) -> list[tuple[Guess, ...]]:
    """The most likely classes of each image, best first.

    Args:
        bundle: Its labels are used.
        logits: float32 ``[N, classes]``.
        top_k: How many classes; no more than the model has.
    """
    labels = bundle.manifest.labels or tuple(str(index) for index in range(logits.shape[1]))
    return [
        tuple(Guess(int(index), labels[index], float(row[index])) for index in np.argsort(-row)[:top_k])
        for row in softmax(logits)
    ]
