"""Any number of tensors through an engine, whatever batch it takes."""

from __future__ import annotations

import numpy as np

from engine import Engine
from parameters import BATCH

OPEN_BATCH = 32
"""Images at a time where the engine takes any number."""


def run_all(engine: Engine, tensors: np.ndarray) -> np.ndarray:
    """What the engine gives, [N, ...], for N preprocessed images. The last batch of a fixed size is filled up."""
    size = BATCH or OPEN_BATCH
    found = []
    for start in range(0, len(tensors), size):
        part = tensors[start : start + size]
        missing = size - len(part) if BATCH else 0
        padded = np.concatenate([part, np.zeros((missing, *part.shape[1:]), part.dtype)]) if missing else part
        found.append(engine.run(np.ascontiguousarray(padded))[: len(part)])
    return np.concatenate(found)
