"""Tensors under the network's names: renamed, and of the rank that the network has them in."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dmformer.model.naming.modules import ANY, KERNEL, LEVEL, MATRIX, kind_of, split
from dmformer.model.naming.reading import Reading

HEAD = "head"


def renamed(tensors: Mapping[str, Tensor], reading: Reading) -> dict[str, Tensor]:
    """The tensors by the network's names, in its ranks; those that nobody knows keep their names.

    Args:
        tensors: By the names in the file.
        reading: What they are taken for.
    """
    targets, aside = reading.targets, reading.aside
    kept = {name: tensor for name, tensor in tensors.items() if name not in aside}
    return {targets.get(name, name): of_rank(targets.get(name, ""), tensor) for name, tensor in kept.items()}


def of_rank(name: str, tensor: Tensor) -> Tensor:
    """A tensor in the rank of the network's, where its values are the same in their order; else as it is.

    A Linear ``[O, I]`` is a 1x1 convolution ``[O, I, 1, 1]``, and ``[C, 1, 1]`` or ``[1, C, 1, 1]`` a vector ``[C]``.
    """
    part, leaf = split(name)
    kind = kind_of(part)
    if not leaf or kind == ANY or tensor.layout != torch.strided:
        return tensor
    shape = tuple(tensor.shape)
    if leaf == "weight" and kind == MATRIX and len(shape) in (2, 3, 4) and set(shape[2:]) <= {1}:
        return tensor.reshape(shape[:2] if part == HEAD else (*shape[:2], 1, 1))
    is_vector = leaf != "weight" or kind not in (MATRIX, KERNEL, LEVEL)
    if is_vector and len(shape) > 1 and sum(side != 1 for side in shape) <= 1:
        return tensor.reshape(-1)
    return tensor
