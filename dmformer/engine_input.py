"""What an engine is given: preprocessed tensors, or where its preprocessing is embedded, pixels of its size.

Everything that runs a bundle asks here, so that nothing else needs to know which of the two it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.manifest import Manifest
from dmformer.preprocessing import Preprocessing, fit_batch, pixels_of, preprocess_batch

EngineInput = NDArray[np.float32] | NDArray[np.uint8]
"""float32 ``[N, C, H, W]``, or uint8 ``[N, H, W, C]`` where the manifest says so; C-contiguous."""


def from_images(manifest: Manifest, images: Sequence[NDArray[Any]], spec: Preprocessing | None = None) -> EngineInput:
    """Images of any size as the engine takes them.

    Args:
        manifest: The engine's.
        images: As `dmformer.preprocessing.preprocess` takes them.
        spec: How they become the input; None is the manifest's.

    Raises:
        DataError: As `dmformer.preprocessing.preprocess` does.
    """
    make = fit_batch if manifest.takes_pixels else preprocess_batch
    return make(images, spec or manifest.preprocessing)


def from_tensors(manifest: Manifest, tensors: NDArray[np.float32]) -> EngineInput:
    """Preprocessed tensors as the engine takes them: as they are, or as the pixels that they were made of.

    Args:
        manifest: The engine's.
        tensors: float32 ``[N, C, H, W]``.

    Raises:
        UsageError: The engine takes pixels, and no picture gives these tensors.
    """
    if not manifest.takes_pixels:
        return np.ascontiguousarray(tensors)
    return np.ascontiguousarray(pixels_of(tensors, manifest.preprocessing).transpose(0, 2, 3, 1))
