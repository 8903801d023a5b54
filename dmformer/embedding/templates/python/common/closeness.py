"""How close values are to PyTorch's."""

from __future__ import annotations

import math

import numpy as np


def value_problems(tolerance: dict, reference: np.ndarray, found: np.ndarray, what: str) -> list[str]:
    """In words, how values fall short of a tolerance. None in it is not judged."""
    error, allowed = float(np.abs(reference - found).max()), math.inf
    if tolerance["max_abs_error"] is not None:
        allowed = tolerance["max_abs_error"] * max(1.0, float(np.abs(reference).max()))
    noise_db, least = sqnr_db(reference, found), tolerance["min_sqnr_db"]
    problems = []
    # Written so that a comparison with NaN is a problem too.
    if not (np.isfinite(found).all() and error <= allowed):
        problems.append(f"a {what} differs by {error:.3g}, allowed {allowed:.3g}")
    if least is not None and not noise_db >= least:
        problems.append(f"SQNR {noise_db:.1f} dB is below {least:.1f}")
    return problems


def sqnr_db(reference: np.ndarray, found: np.ndarray) -> float:
    """Signal to quantization noise ratio in dB."""
    noise = np.square(reference.astype(np.float64) - found).sum()
    # An answer of zeros has no signal.
    signal = max(np.square(reference, dtype=np.float64).sum(), np.finfo(np.float64).tiny)
    return math.inf if noise == 0 else 10 * (math.log10(signal) - math.log10(noise))
