"""The stage "engine": what the engine gives for the golden tensors against what PyTorch gave."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Read = Callable[..., np.ndarray]


def engine_problems(golden: dict, found: np.ndarray, read: Read) -> list[str]:
    """In words, what differs. None in a tolerance is not judged.

    Args:
        golden: The document ``golden.json``.
        found: What the engine gives, [N, ...].
        read: Reads a file of the folder ``golden`` as an array: name, dtype, shape.
    """
    tolerance = golden["tolerance"]
    reference = np.stack([read(sample["logits"], "float32", golden["output"]) for sample in golden["samples"]])
    error = float(np.abs(reference - found).max())
    allowed = math.inf if tolerance["max_abs_error"] is None else tolerance["max_abs_error"]
    allowed *= max(1.0, float(np.abs(reference).max()))
    noise_db = sqnr_db(reference, found)
    share = float((reference.argmax(1) == found.argmax(1)).mean())
    problems = []
    # Written so that a comparison with NaN is a problem too.
    if not (np.isfinite(found).all() and error <= allowed):
        problems.append(f"a logit differs by {error:.3g}, allowed {allowed:.3g}")
    if tolerance["min_sqnr_db"] is not None and not noise_db >= tolerance["min_sqnr_db"]:
        problems.append(f"SQNR {noise_db:.1f} dB is below {tolerance['min_sqnr_db']:.1f}")
    if tolerance["min_agreement"] is not None and not share >= tolerance["min_agreement"]:
        problems.append(f"agreement {share:.2%} is below {tolerance['min_agreement']:.2%}")
    return problems


def sqnr_db(reference: np.ndarray, found: np.ndarray) -> float:
    """Signal to quantization noise ratio in dB."""
    noise = np.square(reference.astype(np.float64) - found).sum()
    # An answer of zeros has no signal.
    signal = max(np.square(reference, dtype=np.float64).sum(), np.finfo(np.float64).tiny)
    return math.inf if noise == 0 else 10 * (math.log10(signal) - math.log10(noise))
