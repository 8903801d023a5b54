"""Weights from files that nobody vouches for: read without unpickling, unwrapped, named, checked.

Three steps, used by `dmformer.model.checkpoint`: `read_weights` turns a file into named tensors,
`expected_shapes` says what a configuration needs, `checked_state` compares the two and casts to
float32. Whatever is wrong becomes a `CheckpointError` of one line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dmformer.errors import CheckpointError
from dmformer.fields import Palette
from dmformer.model.class_names import names_in, palettes_in
from dmformer.model.config import STAGES, ModelConfig
from dmformer.model.naming.modules import COUNTER
from dmformer.model.network import DMFormer
from dmformer.model.trainers import find_state, state_at, strip_prefixes
from dmformer.model.weight_files import NAME, read_content
from dmformer.texts import one_line

METADATA_KEY = "dmformer"
"""The one safetensors metadata entry of this project: with several, their order (and so the file's bytes) would
differ from run to run."""

MAX_LISTED = 8
MOST_SHARING = 4
"""How many times the memory of its file a state may take: tensors of a DMFormer are no parts of each other."""

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class RawWeights:
    """What a file holds, before anything is known of the network.

    Attributes:
        tensors: By name, prefixes of trainers stripped; any shape and dtype.
        metadata: The project's own JSON description from a safetensors header, if there.
        notes: Choices that were made while reading, in words.
        names: What may be the classes' names, see `dmformer.model.class_names.names_in`.
        palettes: What may be the classes' colours, see `dmformer.model.class_names.palettes_in`.
        options: The trainer's, where it wrote them into the file.
    """

    tensors: Mapping[str, Tensor]
    metadata: str | None
    notes: tuple[str, ...]
    names: tuple[tuple[str, tuple[str, ...]], ...] = ()
    palettes: tuple[Palette, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


def read_weights(path: Path, key: str | None = None) -> RawWeights:
    """Reads ``.safetensors``, a torch file (``weights_only``), or shards under their index, into named tensors.

    Args:
        path: The file.
        key: Where in it the weights are, as ``ema`` or ``state.model``; None takes averaged ones first, and says so.

    Raises:
        CheckpointError: No readable file, an unknown suffix, too large, damaged, in need of unpickling,
            or without tensors.
        UsageError: There is nothing at the key.
    """
    content, metadata = read_content(path)
    tensors, notes = find_state(content) if key is None else state_at(content, key, path)
    if not tensors:
        raise CheckpointError(f"{path}: no weights in it", "Give the file that holds the model's state_dict.")
    plain = metadata or content
    return RawWeights(
        _plain_names(tensors, path),
        metadata.get(METADATA_KEY),
        tuple(notes),
        names_in(plain),
        palettes_in(plain),
        _options(content),
    )


def _options(content: Any) -> Mapping[str, Any]:
    """What a trainer was told, as timm, torchvision and Lightning keep it."""
    found = (content.get(key) for key in ("args", "hyper_parameters", "config")) if isinstance(content, dict) else ()
    return next((said for said in found if isinstance(said, dict)), {})


def _plain_names(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Names without trainers' prefixes, without counters that no inference needs."""
    plain: dict[str, Tensor] = {}
    for given, tensor in tensors.items():
        name = strip_prefixes(given)
        if name.endswith(COUNTER) or name == "n_averaged":
            continue
        if name in plain:
            raise CheckpointError(
                f"{path}: two tensors are called {one_line(name, NAME)} once prefixes such as 'module.' are gone",
                "Save the weights of one model alone.",
            )
        plain[name] = tensor
    return plain


@lru_cache(maxsize=16)
def expected_shapes(config: ModelConfig) -> Mapping[str, tuple[int, ...]]:
    """Name and shape of every tensor that a network of ``config`` needs, in the network's order."""
    with torch.device("meta"):
        # The blocks of a stage are alike: one of each is made, and counted as many times as there are.
        state = DMFormer(config.model_copy(update={"depths": (1,) * STAGES})).state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items() if not name.endswith(COUNTER)}
    found: dict[str, tuple[int, ...]] = {}
    for stage, group in groupby(shapes, lambda name: name[:9] if name.startswith("stages.") else ""):
        names = list(group)
        for block in range(config.depths[int(stage[7])] if stage else 1):
            found |= {_of_block(name, block): shapes[name] for name in names}
    return found


def _of_block(name: str, block: int) -> str:
    """A name of the first block of a stage as that of another block."""
    return f"{name[:9]}{block}{name[10:]}" if name.startswith("stages.") else name


def checked_state(
    tensors: Mapping[str, Tensor], config: ModelConfig, source: str
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The float32 state of a network of ``config``, and notes on what was cast.

    Args:
        tensors: By the network's names, of any floating dtype. Those that have memory of their own are handed over.
        config: The network that they must fit.
        source: Their file, for messages.

    Raises:
        CheckpointError: Missing, surplus or misshapen tensors, of a dtype that holds no weights, or
            values that no trained network has.
    """
    expected = expected_shapes(config)
    misshapen = [
        f"{name} (expected {shape}, found {tuple(tensors[name].shape)})"
        for name, shape in expected.items()
        if name in tensors and tensors[name].shape != shape
    ]
    missing = [name for name in expected if name not in tensors]
    surplus = [name for name in tensors if name not in expected]
    if missing or surplus or misshapen:
        raise mismatch(source, missing, surplus, misshapen)
    storages = dict(_checked_storage(name, tensors[name], source) for name in expected)
    if sum(tensors[name].nbytes for name in expected) > MOST_SHARING * (sum(storages.values()) + 2**20):
        raise CheckpointError(f"{source}: the tensors share memory and unpack to much more than the file holds")
    casts = sorted({str(tensors[name].dtype).removeprefix("torch.") for name in expected} - {"float32"})
    notes = (f"weights of {', '.join(casts)} cast to float32",) if casts else ()
    shared = len(storages) < len(expected)
    return {name: _cast(name, tensors[name], source, shared) for name in expected}, notes


def mismatch(source: str, missing: list[str], surplus: list[str], misshapen: list[str]) -> CheckpointError:
    """The error that lists what does not fit, the first eight of each kind by name."""
    kinds = {"missing": missing, "surplus": surplus, "misshapen": misshapen}
    lists = "; ".join(f"{kind} {_listed(names)}" for kind, names in kinds.items() if names)
    if not surplus and not misshapen and all(name.startswith(("head.", "norm.")) for name in missing):
        hint = "Its head is not whole: give the weights of the whole model, or the backbone's alone."
    else:
        hint = "Check that these are weights of a DMFormer, and that the configuration given with them is theirs."
    return CheckpointError(f"{source}: the weights do not fit the network: {lists}", hint)


def _listed(names: list[str]) -> str:
    shown = ", ".join(one_line(name, NAME) for name in names[:MAX_LISTED])
    return shown if len(names) <= MAX_LISTED else f"{shown} and {len(names) - MAX_LISTED} more"


def _checked_storage(name: str, tensor: Tensor, source: str) -> tuple[int, int]:
    """Address and bytes of a tensor's memory: of a plain array of floats, and no more values than the file holds."""
    if tensor.dtype not in _FLOATS:
        raise CheckpointError(f"{source}: {name} has dtype {tensor.dtype}, which holds no trained weights")
    if tensor.layout != torch.strided or tensor.device.type != "cpu":
        raise CheckpointError(f"{source}: {name} is no plain tensor ({tensor.layout} on {tensor.device.type})")
    storage = tensor.untyped_storage()
    if tensor.nbytes > storage.nbytes():
        raise CheckpointError(f"{source}: {name} claims more values than the file holds")
    return storage.data_ptr(), storage.nbytes()


def _cast(name: str, tensor: Tensor, source: str, shared: bool) -> Tensor:
    # A copy, so that no tensor stays mapped to the file or keeps a larger storage alive; unless it has one for itself.
    own = not shared and tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.nbytes
    if own and tensor.dtype == torch.float32:
        cast = tensor.detach()
    else:
        cast = tensor.detach().to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    check_values(name, cast, source)
    return cast


def check_values(name: str, tensor: Tensor, source: str) -> None:
    """Refuses values that no trained network has: with them, nothing that is computed later means anything.

    Raises:
        CheckpointError: Values that are not finite, or negative variances.
    """
    # A finite sum has no term that is not: the other way takes five times as long.
    if not math.isfinite(tensor.sum().item()) and not bool(torch.isfinite(tensor).all()):
        raise CheckpointError(
            f"{source}: {name} holds values that are not finite in float32",
            "Use a checkpoint before training diverged.",
        )
    if name.endswith("running_var") and bool((tensor < 0).any()):
        raise CheckpointError(f"{source}: {name} holds negative variances", "The file is damaged: copy it again.")


def sorted_bytes(state: Mapping[str, Tensor]) -> Iterable[bytes]:
    """Names, shapes and values in a fixed order, for hashing."""
    for name in sorted(state):
        yield f"{name}{tuple(state[name].shape)}".encode()
        yield state[name].contiguous().numpy().tobytes()
