"""The stage "engine": what the engine gives for the golden tensors against what PyTorch gave."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from closeness import value_problems

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
    share = float((reference.argmax(1) == found.argmax(1)).mean())
    problems = value_problems(tolerance, reference, found, "logit")
    if tolerance["min_agreement"] is not None and not share >= tolerance["min_agreement"]:
        problems.append(f"agreement {share:.2%} is below {tolerance['min_agreement']:.2%}")
    return problems
