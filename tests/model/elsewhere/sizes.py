"""What all networks of this folder share: their sizes, and random weights in which no two tensors are alike."""

from __future__ import annotations

import torch
from torch import nn

WIDTHS, DEPTHS, RATIOS = (8, 12, 16, 20), (1, 2, 1, 1), (3, 3, 2, 3)
EXPANSION, REDUCTION, STEM, CLASSES = 2, 4, 6, 5
LEVELS = ((3, 1), (5, 2), (7, 3))
"""Kernel and dilation of the parallel depthwise convolutions."""


def depthwise(channels: int, kernel: int, dilation: int) -> nn.Conv2d:
    padding = dilation * (kernel // 2)
    return nn.Conv2d(channels, channels, kernel, padding=padding, dilation=dilation, groups=channels, bias=False)


def trained(network: nn.Module, seed: int) -> nn.Module:
    """The network as after training: every parameter and statistic is random, and nothing is at its initial value."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(shape: torch.Size, low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    with torch.no_grad():
        for module in network.modules():
            for name, value in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
                if not value.is_floating_point():
                    value.fill_(100)
                elif isinstance(module, (nn.Conv2d, nn.Linear)):
                    spread = value[0].numel() ** -0.5 if name == "weight" else 0.3
                    value.copy_(torch.randn(value.shape, generator=generator) * spread)
                elif name in {"bias", "running_mean"}:
                    value.copy_(uniform(value.shape, -0.4, 0.4))
                else:
                    value.copy_(uniform(value.shape, 0.4, 1.4))
                if name in {"bias", "running_mean"}:
                    # Few bits, so that a bias can be taken from a mean without rounding.
                    value.mul_(1024).round_().div_(1024)
    return network.eval()
