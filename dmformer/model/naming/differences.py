"""What no renaming mends: parts of other networks, recognised by a tensor that shows them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dmformer.model.naming.dialect import NATIVE
from dmformer.model.naming.modules import LEVEL, NORM, Module, kind_of
from dmformer.model.naming.reading import Reading
from dmformer.texts import one_line

USUAL = [3, 5, 7]
"""Kernels of the levels (paper, section 3.2), whose dilations are known."""
_FFN = re.compile(r"(^|\.)(mlp|ffn|feed_forward)\.")
_OPENING = re.compile(r"(^|[._])(patch_embed|downsample|stem)", re.IGNORECASE)
_QKV = re.compile(r"(^|\.)(qkv|q_proj|query|relative_position_bias_table|in_proj_weight)$")


def differences(reading: Reading, dilations_known: bool) -> tuple[str, ...]:
    """What of a file is no DMFormer, in words, each with the tensor that shows it.

    Args:
        reading: Its modules, as the dialect that knows most of them reads it.
        dilations_known: Whether somebody said the dilations of the levels, whatever their kernels.
    """
    modules = [each.module for each in reading.assignments if each.part != ""]
    found = [
        _first("LayerNorm (DMFormer has BatchNorm)", _layer_norms(reading)),
        _first("a depthwise convolution in the FFN", (m for m in modules if _FFN.search(m.path) and m.is_spatial)),
        _first("overlapping patch embeddings", _overlapping(reading)),
        _first("concatenated levels in place of their sum", _concatenated(reading)),
        _first("strip convolutions, another set of kernels", (m for m in modules if _is_strip(m))),
        _first("self-attention", (m for m in modules if _QKV.search(m.path))),
        _first("levels that mix channels (DMFormer's are depthwise)", _mixing(reading)),
        _first("attention without a gate beside", _without_gate(reading)),
    ]
    if not dilations_known:
        found.append(_first("another set of kernels than 3, 5 and 7", _other_kernels(reading)))
    return tuple(one for one in found if one)


def _first(what: str, modules: Iterator[Module]) -> str:
    first = next(modules, None)
    if first is None:
        return ""
    leaf = "weight" if "weight" in first.shapes else next(iter(first.shapes))
    return f"{what}: {one_line(first.name(leaf), 160)} {list(first.shapes[leaf])}"


def _is_strip(module: Module) -> bool:
    weight = module.weight
    return len(weight) == 4 and weight[1] == 1 and weight[2] != weight[3]


def _layer_norms(reading: Reading) -> Iterator[Module]:
    for each in reading.assignments:
        named = "norm" in each.module.path.rpartition(".")[2]
        shapes = each.module.shapes
        if (each.part is not None and kind_of(each.part) == NORM) or (each.part is None and named):
            statistics = shapes.keys() & {"running_mean", "running_var"}
            if not statistics and len(each.module.weight) == 1 and "bias" in shapes:
                yield each.module


def _overlapping(reading: Reading) -> Iterator[Module]:
    """Convolutions that open a stage, with a kernel larger than their stride of 2; or a stem of one convolution."""
    for each in reading.assignments:
        part, module = each.part, each.module
        opens = part is None and _OPENING.search(module.path) and _widens(module)
        alone = part == "stem.conv1" and "stem.conv3" not in reading.parts
        if ((part or "").startswith("downsamples.") and module.kernel > 2) or (opens and module.kernel > 2) or alone:
            yield module


def _widens(module: Module) -> bool:
    """Whether it leads from the channels of one stage to those of another."""
    return len(module.weight) == 4 and module.weight[1] > 4 and module.weight[0] != module.weight[1]


def _mixing(reading: Reading) -> Iterator[Module]:
    ends = (".dma.expand", ".dma.fuse")
    inside = {m.path.rpartition(".")[0] for part, m in reading.parts.items() if part.endswith(ends)}
    for module in reading.unknown:
        within = any(path and module.path.startswith(f"{path}.") for path in inside)
        if within and module.kernel > 2 and module.weight[1] > 1:
            yield module


def _without_gate(reading: Reading) -> Iterator[Module]:
    parts = reading.parts
    if not any(".dma.gate." in part for part in parts):
        yield from (module for part, module in parts.items() if part.endswith(".dma.fuse"))


def _concatenated(reading: Reading) -> Iterator[Module]:
    """Layers behind the levels that read the channels of several of them."""
    parts = reading.parts
    for part, module in parts.items():
        if not part.endswith(".dma.fuse"):
            continue
        attention = part.removesuffix("fuse")
        levels = [inner.weight[0] for name, inner in parts.items() if name.startswith(f"{attention}levels.")]
        if len(levels) > 1 and module.is_matrix and module.weight[1] == sum(levels):
            yield module


def _other_kernels(reading: Reading) -> Iterator[Module]:
    """The levels of a block of another code base that are no 3x3, 5x5 and 7x7: its dilations are anybody's guess."""
    if reading.dialect.name == NATIVE:
        return
    levels = {part: module for part, module in reading.parts.items() if kind_of(part) == LEVEL}
    block = next((part.partition(".levels.")[0] for part in levels), "")
    first = [module for part, module in levels.items() if part.startswith(f"{block}.levels.")]
    if first and sorted(module.kernel for module in first) != USUAL:
        yield max(first, key=lambda module: module.kernel)
