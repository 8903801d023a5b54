"""Classes and probabilities from a bundle, for images as people have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle
from dmformer.evaluation.verify import run_all
from dmformer.preprocessing import preprocess_batch
from dmformer.runtimes.base import Session


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


def predict(
    bundle: Bundle, session: Session, images: Sequence[NDArray[np.uint8]], top_k: int = 5
) -> list[tuple[Guess, ...]]:
    """The most likely classes of each image, best first.

    Args:
        bundle: The engine's bundle: its preprocessing and labels are used.
        session: The opened engine.
        images: uint8 HWC RGB, of any sizes.
        top_k: How many classes; no more than the model has.
    """
    logits = run_all(bundle, session, preprocess_batch(images, bundle.manifest.preprocessing))
    labels = bundle.manifest.labels or tuple(str(index) for index in range(logits.shape[1]))
    return [
        tuple(Guess(int(index), labels[index], float(row[index])) for index in np.argsort(-row)[:top_k])
        for row in softmax(logits)
    ]
