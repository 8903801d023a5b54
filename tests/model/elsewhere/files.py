"""The files of this folder: which network is in which trainer's layout, and what must come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from tests.model.elsewhere import folders, layouts
from tests.model.elsewhere.folders import Writer
from tests.model.elsewhere.layouts import Layout, fabric, lightning, mmengine, timm_saver
from tests.model.elsewhere.networks import MEANT, OTHER, network
from tests.model.elsewhere.refused import REFUSED, said
from tests.model.elsewhere.segmentor import segmentor_layout


@dataclass(frozen=True)
class Entry:
    """A file that somebody else's trainer wrote.

    Attributes:
        id: Network and layout.
        write: Writes it into an empty folder and gives the path for the loader.
        network: Makes the network whose function is meant, in float32; None where it is refused.
        refusal: A regular expression of what must be said where it is refused.
        says: Regular expressions, each of which must be found in one of the notes.
        or_refused: What may be said instead of loading it, where both are right.
        pickled: Objects are in it: it may be refused for that, with a command whose result then is loaded instead.
    """

    id: str
    write: Callable[[Path], Path]
    network: Callable[[], nn.Module] | None
    refusal: str | None = None
    says: tuple[str, ...] = ()
    or_refused: str | None = None
    pickled: bool = False


def in_file(name: str, layout: Layout) -> Writer:
    """A writer of ``torch.save`` under a file name."""

    def write(folder: Path, meant: nn.Module, other: nn.Module) -> Path:
        torch.save(layout(meant, other), folder / name)
        return folder / name

    return write


def in_safetensors(name: str, prefix: str = "") -> Writer:
    def write(folder: Path, meant: nn.Module, _: nn.Module) -> Path:
        save_file(layouts.state_of(meant, prefix), folder / name, metadata={"format": "pt"})
        return folder / name

    return write


def in_halves(name: str) -> Writer:
    def write(folder: Path, meant: nn.Module, _: nn.Module) -> Path:
        state = {key: value.half() if value.is_floating_point() else value for key, value in meant.state_dict().items()}
        torch.save({"model": state}, folder / name)
        return folder / name

    return write


def loaded(
    style: str,
    how: str,
    writer: Writer,
    *says: str,
    or_refused: str | None = None,
    pickled: bool = False,
    half: bool = False,
) -> Entry:
    """An entry that loads to the function of a network of `NETWORKS`."""

    def write(folder: Path) -> Path:
        return writer(folder, network(style, MEANT), network(style, OTHER))

    def meant() -> nn.Module:
        return network(style, MEANT).half().float() if half else network(style, MEANT)

    return Entry(f"{style}, {how}", write, meant, says=says, or_refused=or_refused, pickled=pickled)


def refused(style: str, how: str, writer: Writer, *words: str) -> Entry:
    """A file of a right network that no loader can read whole."""

    def write(folder: Path) -> Path:
        return writer(folder, network(style, MEANT), network(style, OTHER))

    return Entry(f"refused: {how}", write, None, said(*words))


def _state_of(make: Callable[[], nn.Module]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        torch.save({"state_dict": make().state_dict(), "epoch": 3}, folder / "weights.pth")
        return folder / "weights.pth"

    return write


PLAIN = (
    loaded("van", "state dict", in_file("weights.pt", layouts.bare)),
    loaded("van", "ImageNet example", in_file("model_best.pth.tar", layouts.imagenet_example)),
    loaded("van_without_scales", "state dict", in_file("weights.pt", layouts.bare)),
    loaded(
        "van_with_biases",
        "state dict",
        in_file("weights.pt", layouts.bare),
        or_refused=said("bias", r"(patch_embed1\.conv[12]|spatial_gating_unit\.conv\d)\.bias"),
    ),
    loaded("van_with_norms", "state dict", in_file("weights.pth", layouts.bare)),
    loaded("convnext_with_norms", "state dict", in_file("weights.pth", layouts.bare)),
    loaded("mscan", "state dict", in_file("weights.pth", layouts.bare)),
    loaded("conv2former", "state dict", in_file("pytorch_model.bin", layouts.bare)),
    loaded("convmod", "DataParallel", in_file("last.pt", layouts.data_parallel)),
    loaded("focalnet", "Swin's main", in_file("ckpt_epoch_299.pth", layouts.swin_style)),
    loaded("focalnet_timm", "safetensors", in_safetensors("model.safetensors")),
    loaded("metaformer", "state dict", in_file("weights.pt", layouts.bare)),
    loaded("metaformer_linear", "tutorial", in_file("checkpoint.tar.pth", layouts.tutorial)),
    loaded("poolformer", "short script", in_file("ckpt.pth", layouts.cifar)),
    loaded("convnext", "safetensors of a DataParallel", in_safetensors("model.safetensors", "module.")),
    loaded("mmpretrain", "MMEngine", in_file("epoch_100.pth", mmengine(averaged=False))),
    loaded("mmseg", "MMEngine", in_file("iter_160000.pth", segmentor_layout), "auxiliary_head"),
    loaded("native", "MMEngine under backbone", in_file("epoch_1.pth", mmengine(False, "backbone."))),
    loaded("native_squeeze_excite", "tutorial", in_file("checkpoint.pt", layouts.tutorial)),
    loaded("native_pooled", "state dict", in_file("weights.pt", layouts.bare)),
    loaded("native_timm", "state dict", in_file("weights.bin", layouts.bare)),
    loaded("native_linear", "state dict", in_file("weights.pth", layouts.bare)),
    loaded("native_conv_head", "safetensors", in_safetensors("model.safetensors")),
)

WRAPPED = (
    loaded("van", "compiled", in_file("compiled.pt", layouts.compiled)),
    loaded("van", "compiled by block", in_file("compiled.pt", layouts.compiled_by_block)),
    loaded("metaformer", "compiled by block", in_file("compiled.pt", layouts.compiled_by_block)),
    loaded("focalnet_timm", "activation checkpointing", in_file("c.pt", layouts.activation_checkpointing)),
    loaded("conv2former", "activation checkpointing", in_file("c.pt", layouts.activation_checkpointing)),
    loaded("van", "Lightning", in_file("epoch=12.ckpt", lightning("model."))),
    loaded(
        "metaformer",
        "Lightning with losses and metrics",
        in_file("last.ckpt", lightning("net.", layouts.training_tensors)),
        "criterion",
        "val_acc",
        "confusion",
    ),
    loaded("mmpretrain", "Lightning", in_file("last.ckpt", lightning("model."))),
    loaded("convnext", "Lightning of a wrapped module", in_file("last.ckpt", lightning("_forward_module.model."))),
    loaded("mscan", "Lightning, compiled", in_file("last.ckpt", lightning("model._orig_mod."))),
    loaded("native_pooled", "Fabric", in_file("fabric.ckpt", fabric(""))),
    loaded("poolformer", "Fabric of a wrapped module", in_file("fabric.ckpt", fabric("_forward_module."))),
    loaded("native_timm", "Fabric, compiled", in_file("fabric.ckpt", fabric("_forward_module._orig_mod."))),
    loaded("van", "thop's counters", in_file("profiled.pth", layouts.profiled), "total_ops|total_params|counter"),
    loaded("focalnet", "halves", in_halves("half.pt"), "float16", half=True),
)

AVERAGED = (
    loaded(
        "van", "WeightAveraging", in_file("last.ckpt", lightning("model.", swapped=True)), said("averag", "state_dict")
    ),
    loaded(
        "native_linear",
        "Lightning with an AveragedModel inside",
        in_file("last.ckpt", lightning("net.", averaged="net_ema.")),
        "net_ema",
    ),
    loaded("mmpretrain", "MMEngine's EMA", in_file("epoch_100.pth", mmengine(averaged=True)), "averag"),
    loaded("metaformer", "timm's saver", in_file("model_best.pth.tar", timm_saver(args=False)), "state_dict_ema"),
    loaded(
        "focalnet_timm",
        "timm's saver with args",
        in_file("last.pth.tar", timm_saver(args=True)),
        "state_dict_ema",
        pickled=True,
    ),
    loaded(
        "conv2former",
        "timm's saver with args, no EMA",
        in_file("last.pth.tar", timm_saver(args=True, averaged=False)),
        pickled=True,
    ),
    loaded(
        "mscan",
        "torchvision's references",
        in_file("model_599.pth", layouts.torchvision_references),
        "model_ema",
        pickled=True,
    ),
    loaded("convnext", "ConvNeXt's main", in_file("c.pth", layouts.convnext_style), "model_ema", pickled=True),
    loaded("native", "Ultralytics", in_file("best.pt", layouts.ultralytics), pickled=True, half=True),
    loaded("convmod", "AveragedModel", in_file("swa.pt", layouts.averaged_model)),
    loaded("van", "SWA", in_file("swa.pth", layouts.stochastic_averages), "swa_state_dict"),
    loaded("metaformer_linear", "shadow", in_file("shadow.pt", layouts.shadow), "'ema'|shadow"),
    loaded("van", "shadow of parameters", in_file("shadow.pt", layouts.shadow_of_parameters), "'ema' are not used"),
    loaded("native_squeeze_excite", "ema_model", in_file("weights.pt", layouts.ema_model), "ema_model"),
)

FOLDERS = (
    loaded("metaformer_linear", "accelerate", folders.accelerate),
    loaded("van", "accelerate, pickled", folders.accelerate_pickled),
    loaded("convnext", "shards", folders.sharded),
    loaded("mscan", "shards by their index", folders.sharded_by_index),
    loaded("poolformer", "shards, pickled", folders.sharded_pickled),
    refused("van", "a shard is missing", folders.shard_missing, r"model-00002-of-00002\.safetensors"),
    refused("van", "a shard outside", folders.shard_elsewhere, r"other\.safetensors", "outside|folder|path"),
    refused("van", "ZeRO 2", folders.deepspeed(2), "ZeRO|DeepSpeed", r"zero_to_fp32\.py"),
    refused("van", "ZeRO 3", folders.deepspeed(3), "ZeRO|DeepSpeed", r"zero_to_fp32\.py"),
    refused("van", "ZeRO 3, a step", folders.deepspeed_step, "ZeRO|DeepSpeed", r"zero_to_fp32\.py"),
    refused("van", "ZeRO 3, one rank", folders.deepspeed_file, "ZeRO|DeepSpeed", r"zero_to_fp32\.py"),
    refused("van", "a distributed checkpoint", folders.distributed, "distributed", "dcp_to_torch|format_utils"),
    refused("van", "a folder without weights", folders.nothing, "weights|checkpoint"),
)

OTHERS = tuple(Entry(f"refused: {one.id}", _state_of(one.make), None, one.pattern) for one in REFUSED)

ENTRIES: tuple[Entry, ...] = (*PLAIN, *WRAPPED, *AVERAGED, *FOLDERS, *OTHERS)
