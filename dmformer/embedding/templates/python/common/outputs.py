"""Several outputs of an engine in one array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def joined(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """A copy of one output [N, ...]; of several the values of each image in a row, [N, values]."""
    if len(outputs) == 1:
        return np.array(outputs[0])
    return np.concatenate([output.reshape(len(output), -1) for output in outputs], axis=1)
