"""What trainers wrap weights in: which of several sets of tensors in one file is meant, and what was passed over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dmformer.errors import UsageError
from dmformer.model.naming.dialect import NATIVE, get_dialect
from dmformer.model.naming.modules import COUNTER, split
from dmformer.texts import listed, one_line

AVERAGED_KEYS = (
    "state_dict_ema",
    "model_ema",
    "ema",
    "params_ema",
    "ema_model",
    "ema_state_dict",
    "model_ema_state_dict",
    "ema_weights",
    "ema_net",
    "net_ema",
    "averaged_model",
    "swa_model",
    "swa_state_dict",
    "shadow",
)
PLAIN_KEYS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "params",
    "weights",
    "model_weights",
    "teacher",
    "student",
)
"""A teacher is an average (mean teacher, DINO) or another network (distillation): taken where nothing else is there."""
BEGINNINGS = frozenset({*AVERAGED_KEYS, *PLAIN_KEYS})
SWAPPED_KEYS = {"message_hub": "ema_state_dict", "averaging_state": "current_model_state"}
"""Marks of trainers (MMEngine, Lightning) that put the average into ``state_dict``, and where the plain weights go."""
PREFIXES = ("module.", "backbone.", "model.", "net.", "encoder.", "dmformer.")
_WRAPPERS = re.compile(r"(^|(?<=\.))(_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module|_forward_module)\.")
"""What compilers and wrappers of modules (torch.compile, activation checkpointing, FSDP, Fabric) write into names."""
HEAD, FINAL_NORM = "head.", "norm."
"""What the names of a head's tensors begin with, and of the norm that is there for it."""
MAX_NESTING = 4
_AVERAGE = re.compile("ema|swa|averag|avg|teacher|shadow", re.IGNORECASE)

Found = tuple[dict[str, Tensor], list[str]]


def state_at(content: object, key: str, path: Path) -> Found:
    """The tensors under a key, as ``ema`` or ``ema.module``.

    Raises:
        UsageError: There is nothing; says which keys there are.
    """
    place: object = content
    rest = key
    while rest:
        place = {**place, **_grouped(place)} if isinstance(place, Mapping) else {}
        name = next((name for name in (rest, rest.partition(".")[0]) if name in place), None)
        if name is None:
            holding = (str(name) for name, value in place.items() if find_state(value)[0])
            raise UsageError(
                f"{path}: no weights under {one_line(key, 80)!r}", f"--weights-key takes {listed(holding)}"
            )
        place, rest = place[name], rest[len(name) + 1 :]
    tensors, notes = find_state(place)
    return tensors, [*notes, f"the weights under {one_line(key, 80)!r} are used, as asked for"]


def _grouped(content: Mapping[Any, object]) -> dict[str, dict[str, object]]:
    """Several networks in one mapping, told apart by the beginnings of its names: ``model.``, ``ema_model.``."""
    found: dict[str, dict[str, object]] = {}
    for name in content:
        key, _, rest = name.partition(".") if isinstance(name, str) else ("", "", "")
        if rest and key in BEGINNINGS:
            found.setdefault(key, {})[rest] = content[name]
    return found if len(found) > 1 and found.keys() & {*AVERAGED_KEYS, "teacher"} else {}


def find_state(content: object, depth: int = 0) -> Found:
    """The innermost mapping of tensors, averaged weights first, with a note on every choice."""
    if isinstance(content, Mapping) and (groups := _grouped(content)):
        alone = {name: value for name, value in content.items() if str(name).partition(".")[0] not in groups}
        content = {**alone, **groups}
    if not isinstance(content, Mapping) or depth > MAX_NESTING:
        return {}, []
    swapped = [pair for pair in SWAPPED_KEYS.items() if all(key in content for key in (*pair, "state_dict"))]
    passed = {plain for _, plain in swapped}
    keys = [key for key in (*AVERAGED_KEYS, *PLAIN_KEYS) if key in content and key not in passed]
    nested = {key: find_state(content[key], depth + 1) for key in keys}
    filled = [key for key in keys if nested[key][0]]
    if not filled:
        return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}, []
    notes = [
        f"the averaged weights under 'state_dict' are used ({mark!r} tells); --weights-key {plain} takes the others"
        for mark, plain in swapped
    ]
    notes += _set_aside(nested, filled)
    key = filled[0]
    tensors, inner = nested[key]
    if len(filled) > 1 or key == "teacher":
        kind = "averaged (EMA) " if key in AVERAGED_KEYS else ""
        rest = ", ".join(repr(other) for other in filled[1:]) or "any other name"
        other = f"; --weights-key {filled[1]} takes those" if len(filled) > 1 else ""
        notes.append(f"the {kind}weights under {key!r} are used, not those under {rest}{other}")
    others = {key: content[key] for key in content if key not in (*filled, *passed, *(mark for mark, _ in swapped))}
    return tensors, [*inner, *notes, *_not_looked_at(others, depth)]


def _set_aside(nested: Mapping[str, Found], filled: list[str]) -> list[str]:
    """Takes averages off the list that lack tensors of the plain weights, as those of parameters alone do."""
    notes: list[str] = []
    plain = next((key for key in filled if key in PLAIN_KEYS), None)
    if plain is None:
        return notes
    for key in [key for key in filled if key in AVERAGED_KEYS]:
        if missing := _names(nested[plain][0]) - _names(nested[key][0]):
            filled.remove(key)
            notes.append(f"the averaged weights under {key!r} are not used: {len(missing)} tensors are missing in them")
    return notes


def _not_looked_at(others: Mapping[Any, object], depth: int) -> list[str]:
    """A note for whatever else may be an average by its name, and holds tensors."""
    holding = [
        one_line(key, 40)
        for key, value in others.items()
        if isinstance(key, str)
        and _AVERAGE.search(key)
        and (_lists_tensors(value) or (key not in AVERAGED_KEYS and find_state(value, depth + 1)[0]))
    ]
    shown = ", ".join(repr(key) for key in holding[:4])
    return [f"what is under {shown} may be averaged weights: not used"] if holding else []


def _lists_tensors(value: object) -> bool:
    """Whether tensors without names are in a value, as torch_ema writes them."""
    parts = value.values() if isinstance(value, Mapping) else [value]
    return any(isinstance(part, (list, tuple)) and any(isinstance(item, Tensor) for item in part) for part in parts)


def _names(tensors: Mapping[str, Tensor]) -> set[str]:
    """Names of what a network needs."""
    plain = {strip_prefixes(name) for name in tensors if not name.endswith(COUNTER)} - {"n_averaged"}
    native = get_dialect(NATIVE)
    return {name for name in plain if native.of_training(split(name)[0]) is None}


def strip_prefixes(name: str) -> str:
    """A tensor's name without what trainers put in front and wrappers inside."""
    name = _WRAPPERS.sub("", name)
    # No name of a network begins with one of these, so stripping cannot go too far.
    while prefix := next((prefix for prefix in PREFIXES if name.startswith(prefix)), None):
        name = name[len(prefix) :]
    return name


def without_head(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The backbone's tensors, by the network's names, and a note on those of a head and of the norm before it."""
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith((HEAD, FINAL_NORM))}
    left = len(tensors) - len(kept)
    return kept, (f"{left} tensors of the head and its norm are left out",) if left else ()
