"""The stage "engine": the classes of the golden pictures' pixels against those that PyTorch found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from segment import classes_of

Read = Callable[..., np.ndarray]


def engine_problems(golden: dict, found: np.ndarray, read: Read) -> list[str]:
    """In words, what differs; prints the share of equal pixels.

    Args:
        golden: The document ``golden.json``.
        found: What the engine gives, [N, ...].
        read: Reads a file of the folder ``golden`` as an array: name, dtype, shape.
    """
    equal = pixels = 0
    for sample, given in zip(golden["samples"], found):
        size = (sample["height"], sample["width"])
        equal += int((classes_of(given, size) == read(sample["map"], golden["map"], size)).sum())
        pixels += size[0] * size[1]
    print(f"engine: {equal / pixels:.4%} of {pixels} pixels have PyTorch's class")
    least = golden["tolerance"]["min_agreement"]
    return [f"agreement {equal / pixels:.4%} is below {least:.2%}"] if least and equal / pixels < least else []
