"""What each layer of an opened network computes in on this machine, asked of the layer itself.

ncnn's Python module tells no layer's type of numbers, and its flags say what a layer could do, not what it does. But a
layer that rounds its input to steps cannot tell two inputs apart that differ by less than half a step: it is run on
both, alone, and gives the same bytes only where it rounds so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.graph.ncnn.layers import WITH_WEIGHTS
from dmformer.graph.ncnn.network import Layer
from dmformer.runtimes.base import with_integers
from dmformer.runtimes.ncnn.engine import Files, computed

FLOATS = {"bfloat16": 2.0**-10, "float16": 2.0**-13}
"""Relative changes that the type does not see in values that it holds exactly, and wider ones do: the widest last."""
LARGEST_CODE = 100
LITTLE = 0.3
"""Of a step: less than half of one, so that no code changes."""


def precisions(net: Any, files: Files) -> dict[str, str]:
    """What each layer with weights computes in, by its name: ``int8``, ``float16``, ``bfloat16`` or ``float32``.

    Args:
        net: As `dmformer.runtimes.ncnn.engine.opened` gave it.
        files: What it was opened with.
    """
    return {layer.name: _precision(net, files, layer) for layer in files.layers if layer.kind in WITH_WEIGHTS}


def _precision(net: Any, files: Files, layer: Layer) -> str:
    random = np.random.default_rng(0)
    shape = files.shapes[layer.inputs[0]]
    codes = random.integers(-LARGEST_CODE, LARGEST_CODE + 1, shape).astype(np.float32)
    if layer.integer(8):
        little = random.uniform(-LITTLE, LITTLE, shape).astype(np.float32)
        with np.errstate(all="ignore"):  # a damaged scale may be anything
            step = np.float32(1) / np.float32(files.weights[layer.name][-1][0])
            if _alike(net, layer, codes * step, (codes + little) * step):
                return "int8"
    # Whole numbers up to 100 are exact in every type.
    for name, change in FLOATS.items():
        if _alike(net, layer, codes, codes * np.float32(1 + change)):
            return name
    return "float32"


def _alike(net: Any, layer: Layer, one: NDArray[np.float32], two: NDArray[np.float32]) -> bool:
    (blob,), (top,) = layer.inputs, layer.outputs
    first, second = (computed(net, {blob: value}, [top])[top] for value in (one, two))
    return np.array_equal(first, second)


def summary(layers: Mapping[str, str], requested: str) -> str:
    """What a network computes in, as `dmformer.runtimes.base.Execution` says it.

    Args:
        layers: What `precisions` gave.
        requested: The bundle's precision.
    """
    counts = Counter(layers.values())
    integers = counts.pop("int8", 0)
    floating = counts.most_common(1)[0][0] if counts else "float32"
    if requested != "int8":
        return floating
    return with_integers(integers, len(layers), floating, f"int8 with {floating}")
