"""Accuracy of an engine against the reference, as numbers over arrays of logits."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dmformer.manifest import Comparison

Logits = NDArray[np.float32]
TOP = 5


def top_k_percent(logits: Logits, labels: NDArray[np.int64], k: int) -> float:
    """Share of images whose class is among the ``k`` largest logits, in percent.

    Args:
        logits: ``[N, classes]``.
        labels: ``[N]``.
        k: 1 or more, less than the number of classes.
    """
    best = np.argpartition(-logits, k - 1, axis=1)[:, :k] if k > 1 else logits.argmax(1)[:, None]
    return float((best == labels[:, None]).any(1).mean() * 100)


def agreement(reference: Logits, found: Logits) -> float:
    """Share of images with the same top-1, 0 to 1."""
    return float((reference.argmax(1) == found.argmax(1)).mean())


def sqnr_db(reference: NDArray[np.floating], found: NDArray[np.floating]) -> float | None:
    """Signal to quantization noise ratio ``10 log10(sum ref^2 / sum (ref - found)^2)`` in dB; None where equal."""
    signal = np.square(reference, dtype=np.float64).sum()
    noise = np.square(reference.astype(np.float64) - found).sum()
    return ratio_db(signal, noise)


def ratio_db(signal: float, noise: float) -> float | None:
    """Of two energies in dB; None without noise. Finite where there is no signal."""
    if noise == 0:
        return None
    # Not of the quotient, which may be too small for a float.
    return 10 * (math.log10(max(signal, np.finfo(np.float64).tiny)) - math.log10(noise))


def compare(
    reference: Logits, found: Logits, labels: NDArray[np.int64] | None, data: str, data_sha256: str
) -> Comparison:
    """All figures of an engine on one set of images.

    Args:
        reference: FP32 PyTorch logits, ``[N, classes]``.
        found: The engine's, likewise.
        labels: ``[N]`` class indices, or None where they are not known.
        data: What the images are.
        data_sha256: Digest of the set.
    """
    # In float64: of two large finite logits the difference may be none in float32.
    difference = np.abs(reference.astype(np.float64) - found)
    return Comparison(
        data=data,
        data_sha256=data_sha256,
        images=len(reference),
        agreement=agreement(reference, found),
        sqnr_db=sqnr_db(reference, found),
        max_abs_error=float(difference.max()),
        reference_scale=float(np.abs(reference).max()),
        top1=right_percent(found, labels, 1),
        reference_top1=right_percent(reference, labels, 1),
        top5=right_percent(found, labels, TOP),
        reference_top5=right_percent(reference, labels, TOP),
    )


def right_percent(logits: Logits, labels: NDArray[np.int64] | None, k: int) -> float | None:
    """`top_k_percent` where every label is known and ``k`` means something, otherwise None."""
    if labels is None or bool((labels < 0).any()) or logits.shape[1] <= k:
        return None
    return top_k_percent(logits, labels, k)
