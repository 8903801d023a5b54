"""Names of values that are kept in another memory layout than the graph's own ``[N, C, H, W]``.

Written by `dmformer.graph.qdq.channels_last`, read where inner tensors of an engine are looked into.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CHANNELS_LAST = "/last"
"""Ends the name of a value of shape ``[N, H, W, C]``; without it the name is that of the same value in the graph."""


def channels_first(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The values ``[N, C, H, W]`` of a tensor, whichever layout its name says; others pass as they are."""
    if values.ndim == 4 and name.endswith(CHANNELS_LAST):
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2))
    return values
