"""The stage "engine": each feature map of the golden tensors against PyTorch's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from closeness import sqnr_db, value_problems
from extract import maps_of

Read = Callable[..., np.ndarray]


def engine_problems(golden: dict, found: np.ndarray, read: Read) -> list[str]:
    """In words, what differs; prints the SQNR of each map.

    Args:
        golden: The document ``golden.json``.
        found: What the engine gives, [N, values].
        read: Reads a file of the folder ``golden`` as an array: name, dtype, shape.
    """
    rows = [read(sample["logits"], "float32", golden["output"]) for sample in golden["samples"]]
    right, given = ([maps_of(row) for row in side] for side in (rows, found))
    problems = []
    for name in right[0]:
        reference, values = (np.stack([maps[name] for maps in side]) for side in (right, given))
        print(f"engine: {name}: SQNR {sqnr_db(reference, values):.1f} dB")
        problems += [f"{name}: {one}" for one in value_problems(golden["tolerance"], reference, values, "value")]
    return problems
