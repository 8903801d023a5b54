"""Networks that are near a DMFormer and compute something else: what their file must be refused with.

Only names and shapes matter here, so each begins as a whole network of this folder and gets the part that differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from tests.model.elsewhere.networks import network
from tests.model.elsewhere.sizes import DEPTHS, EXPANSION, RATIOS, WIDTHS, depthwise, trained


@dataclass(frozen=True)
class Refused:
    """A network that is no DMFormer.

    Attributes:
        id: What it is.
        make: The network, trained.
        words: Regular expressions, all of which must be found in what is said, in any order and case: the reason,
            and the tensor that shows it.
    """

    id: str
    make: Callable[[], nn.Module]
    words: tuple[str, ...]

    @property
    def pattern(self) -> str:
        """All the words in one expression for ``re.search``."""
        return said(*self.words)


def said(*words: str) -> str:
    """A regular expression that finds all of several, in any order and case."""
    return r"(?is)\A" + "".join(f"(?=.*(?:{word}))" for word in words)


class ChannelNorm(nn.Module):
    """LayerNorm over channels that come first: weight and bias, no statistics."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))


def changed(style: str, change: Callable[[int, int, str], Mapping[str, nn.Module | None]], block: str) -> nn.Module:
    """A network with parts of every block exchanged.

    Args:
        style: Which network.
        change: From width, hidden width of the FFN and the block's name to its new parts by path; None takes one out.
        block: The path of a block, with places for stage and block.
    """
    whole = network(style)
    for stage, (dim, ratio, depth) in enumerate(zip(WIDTHS, RATIOS, DEPTHS, strict=True)):
        for index in range(depth):
            path = block.format(stage=stage, next=stage + 1, block=index)
            for name, part in change(dim, ratio * dim, path).items():
                put(whole, f"{path}.{name}", part)
    return trained(whole, 1)


def put(whole: nn.Module, path: str, part: nn.Module | None) -> None:
    """Sets one part of a network, or takes it out."""
    parent, _, name = path.rpartition(".")
    if part is None:
        delattr(whole.get_submodule(parent), name)
    else:
        whole.get_submodule(parent).add_module(name, part)


def with_parts(style: str, parts: Mapping[str, Callable[[], nn.Module]]) -> nn.Module:
    """A network with single parts set by path."""
    whole = network(style)
    for path, part in parts.items():
        put(whole, path, part())
    return trained(whole, 1)


VAN, FORMER, META = "block{next}.{block}", "stages.{stage}.{block}", "stages.{stage}.blocks.{block}"
NATIVE_FUSE = "stages.{stage}.{block}.dma"


def concatenated() -> nn.Module:
    def change(dim: int, _: int, __: str) -> dict[str, nn.Module | None]:
        inner = 3 * EXPANSION * dim
        return {
            "attn.spatial_gating_unit.norm": nn.BatchNorm2d(inner),
            "attn.proj_2": nn.Conv2d(inner, dim, 1),
        }

    return changed("van", change, VAN)


def concatenated_native() -> nn.Module:
    def change(dim: int, _: int, __: str) -> dict[str, nn.Module | None]:
        return {"norm": nn.BatchNorm2d(3 * EXPANSION * dim), "fuse": nn.Conv2d(3 * EXPANSION * dim, dim, 1)}

    return changed("native", change, NATIVE_FUSE)


def layer_norms(style: str, block: str, *names: str) -> nn.Module:
    return changed(style, lambda dim, _, __: {name: ChannelNorm(dim) for name in names}, block)


def depthwise_in_ffn(style: str, block: str, name: str, nested: bool) -> nn.Module:
    def change(_: int, hidden: int, __: str) -> dict[str, nn.Module | None]:
        layer = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        return {name: nn.ModuleDict({"dwconv": layer}) if nested else layer}

    return changed(style, change, block)


def strips() -> nn.Module:
    """MSCAN's own attention: 5x5, then pairs of strips, then a 1x1 convolution."""

    def change(dim: int, _: int, __: str) -> dict[str, nn.Module | None]:
        inner = EXPANSION * dim
        unit = nn.ModuleDict({"conv0": nn.Conv2d(inner, inner, 5, padding=2, groups=inner)})
        for branch, length in enumerate((7, 11, 21)):
            across, along = (1, length), (length, 1)
            unit[f"conv{branch}_1"] = nn.Conv2d(inner, inner, across, padding=(0, length // 2), groups=inner)
            unit[f"conv{branch}_2"] = nn.Conv2d(inner, inner, along, padding=(length // 2, 0), groups=inner)
        unit["conv3"] = nn.Conv2d(inner, inner, 1)
        return {"attn.spatial_gating_unit": unit}

    return changed("mscan", change, VAN)


def large_kernel_attention() -> nn.Module:
    """VAN's own: 5x5, then 7x7 with dilation 3 on its result, then a 1x1 convolution; neither norm nor gate."""

    def change(dim: int, _: int, __: str) -> dict[str, nn.Module | None]:
        unit = nn.ModuleDict(
            {
                "conv0": nn.Conv2d(dim, dim, 5, padding=2, groups=dim),
                "conv_spatial": nn.Conv2d(dim, dim, 7, padding=9, groups=dim, dilation=3),
                "conv1": nn.Conv2d(dim, dim, 1),
            }
        )
        parts = {"proj_1": nn.Conv2d(dim, dim, 1), "spatial_gating_unit": unit, "proj_2": nn.Conv2d(dim, dim, 1)}
        return {"attn": nn.ModuleDict(parts)}

    return changed("van", change, VAN)


def without_gate() -> nn.Module:
    return changed("van", lambda _, __, ___: {"attn.gate": None}, VAN)


def self_attention() -> nn.Module:
    def change(dim: int, _: int, __: str) -> dict[str, nn.Module | None]:
        mixer = {"qkv": nn.Linear(dim, 3 * dim, bias=False), "proj": nn.Linear(dim, dim, bias=False)}
        return {"token_mixer": nn.ModuleDict(mixer)}

    return changed("metaformer", change, META)


def unnamed_norms() -> nn.Module:
    """Two BatchNorms of a block whose names do not say which of them stands where."""

    def change(dim: int, _: int, __: str) -> dict[str, nn.Module | None]:
        return {"norm1": None, "norm2": None, "bn_a": nn.BatchNorm2d(dim), "bn_b": nn.BatchNorm2d(dim)}

    return changed("van", change, VAN)


def dense_levels() -> nn.Module:
    """Levels that mix channels: no ``groups``."""

    def change(dim: int, _: int, __: str) -> dict[str, nn.Module | None]:
        inner = EXPANSION * dim
        return {"levels.0": nn.Conv2d(inner, inner, 3, padding=1, bias=False)}

    return changed("native", change, NATIVE_FUSE)


def fourth_branch() -> nn.Module:
    """A depthwise convolution more than the three, with a name that no table has."""
    return changed("van", lambda dim, _, __: {"attn.local": depthwise(dim, 3, 1)}, VAN)


REFUSED = (
    Refused("concatenated levels", concatenated, ("concat", r"attn\.proj_2\.weight|spatial_gating_unit\.norm")),
    Refused("concatenated levels, native names", concatenated_native, ("concat", r"dma\.fuse\.weight|dma\.norm")),
    Refused(
        "LayerNorm in the blocks",
        lambda: layer_norms("van", VAN, "norm1", "norm2"),
        ("LayerNorm", r"block\d\.\d\.norm[12]"),
    ),
    Refused(
        "LayerNorm of Conv2Former",
        lambda: layer_norms("conv2former", FORMER, "attn.norm", "mlp.norm"),
        ("LayerNorm", r"(attn|mlp)\.norm"),
    ),
    Refused(
        "LayerNorm at the end alone",
        lambda: with_parts("van", {"norm4": lambda: nn.LayerNorm(WIDTHS[-1])}),
        ("LayerNorm", "norm4"),
    ),
    Refused(
        "LayerNorm at the end of timm's head",
        lambda: with_parts("metaformer", {"head.norm": lambda: ChannelNorm(WIDTHS[-1])}),
        ("LayerNorm", r"head\.norm"),
    ),
    Refused(
        "depthwise in VAN's FFN",
        lambda: depthwise_in_ffn("van", VAN, "mlp.dwconv", nested=True),
        ("depthwise", "FFN", r"mlp\.dwconv\.dwconv"),
    ),
    Refused(
        "depthwise in Conv2Former's FFN",
        lambda: depthwise_in_ffn("conv2former", FORMER, "mlp.pos", nested=False),
        ("depthwise", "FFN", r"mlp\.pos"),
    ),
    Refused(
        "depthwise in mmpretrain's FFN",
        lambda: depthwise_in_ffn("mmpretrain", "backbone.blocks{next}.{block}", "mlp.dwconv", nested=False),
        ("depthwise", "FFN", r"mlp\.dwconv"),
    ),
    Refused(
        "overlapping steps",
        lambda: with_parts(
            "van",
            {
                f"patch_embed{at + 2}.proj": lambda at=at: nn.Conv2d(WIDTHS[at], WIDTHS[at + 1], 3, 2, 1)  # type: ignore[misc]
                for at in range(3)
            },
        ),
        ("overlap", r"patch_embed[234]\.proj"),
    ),
    Refused(
        "an overlapping stem of one convolution",
        lambda: with_parts(
            "van",
            {"patch_embed1": lambda: nn.ModuleDict({"proj": nn.Conv2d(3, WIDTHS[0], 7, stride=4, padding=3)})},
        ),
        ("overlap", r"patch_embed1\.proj"),
    ),
    Refused("MSCAN's strips", strips, ("strip|kernel", r"conv\d_[12]")),
    Refused("VAN's own attention", large_kernel_attention, ("kernel|LKA|level|gate", r"block\d\.\d\.attn")),
    Refused("no gate", without_gate, ("gate", r"block\d\.\d\.attn")),
    Refused("self-attention", self_attention, ("attention", r"token_mixer\.qkv")),
    Refused("two norms of one kind", unnamed_norms, ("bn_a", "bn_b")),
    Refused("levels that mix channels", dense_levels, ("depthwise|channels", r"levels\.0")),
    Refused("a branch too many", fourth_branch, (r"attn\.local",)),
)
