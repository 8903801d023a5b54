"""Parameters and multiply-accumulates of a network, by part.

Counted by torch's own flop counter on the meta device: no memory, no time, and no formula of ours to
keep in step with the network. Element-wise operations and pooling count as nothing, as usual.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from dmformer.model.config import ModelConfig, check_size
from dmformer.model.network import DMFormer

_PARTS = {
    "stem": r"stem\.conv.*",
    "downsampling": r"downsamples\..*",
    "DMA expand": r"stages\..*\.dma\.expand",
    "DMA levels": r"stages\..*\.dma\.levels\..*",
    "DMA fuse": r"stages\..*\.dma\.fuse",
    "DMA gate": r"stages\..*\.dma\.gate\..*",
    "FFN": r"stages\..*\.ffn\..*",
    "norms and scales": r"(.*\.)?(norm|scale)\d?|norms_(before|after)\.\d",
    "head": r"head(\..*)?",
}


@dataclass(frozen=True)
class PartCount:
    """Trained parameters and multiply-accumulates (one image) of one part of the network."""

    name: str
    parameters: int
    macs: int


@dataclass(frozen=True)
class ModelCount:
    """Trained parameters and multiply-accumulates (one image) of a network, and their parts."""

    parameters: int
    macs: int
    per_part: tuple[PartCount, ...]


def count(model_or_config: DMFormer | ModelConfig, size: int | tuple[int, int]) -> ModelCount:
    """Counts a network for one image.

    Args:
        model_or_config: The network (as it is: canonical or not), or its configuration.
        size: Input side or (height, width).

    Raises:
        UsageError: A size that the network cannot take.
    """
    config = model_or_config if isinstance(model_or_config, ModelConfig) else model_or_config.config
    height, width = (size, size) if isinstance(size, int) else size
    check_size((height, width))
    with torch.device("meta"):
        model = DMFormer(config).eval()
        images = torch.empty(1, config.in_channels, height, width)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(images)
    flops = {name: sum(kinds.values()) for name, kinds in counter.get_flop_counts().items()}
    parts = tuple(_count_part(part, pattern, model, flops) for part, pattern in _PARTS.items())
    return ModelCount(sum(parameter.numel() for parameter in model.parameters()), flops["Global"] // 2, parts)


def _count_part(part: str, pattern: str, model: DMFormer, flops: dict[str, int]) -> PartCount:
    leaves = {
        name: module
        for name, module in model.named_modules()
        if not list(module.children()) and re.fullmatch(pattern, name)
    }
    parameters = sum(parameter.numel() for module in leaves.values() for parameter in module.parameters())
    # The counter puts the class's name in front; a multiply-accumulate is two of its operations.
    return PartCount(part, parameters, sum(flops.get(f"{type(model).__name__}.{name}", 0) for name in leaves) // 2)
