"""The parts of a DMFormer block in PyTorch: DMA with its gate, and the FFN.

All tensors are NCHW float. Every module also exists without BatchNorm and layer scale
(``norm="none"``, ``layer_scale=False``): that is the canonical form which
`dmformer.model.canonical` computes the weights for.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from dmformer.model.config import ModelConfig


def make_norm(config: ModelConfig, channels: int, wanted: bool = True) -> nn.Module:
    """BatchNorm over ``channels``, or nothing in the canonical form and where none is wanted."""
    return nn.BatchNorm2d(channels) if config.norm == "batch" and wanted else nn.Identity()


class LayerScale(nn.Module):
    """A learned factor per channel at the end of a residual branch (this project's choice)."""

    def __init__(self, channels: int, init: float = 1e-1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), init))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None]


def make_layer_scale(config: ModelConfig, channels: int) -> nn.Module:
    """A `LayerScale`, or nothing where the configuration has none."""
    return LayerScale(channels) if config.layer_scale else nn.Identity()


class Gate(nn.Module):
    """Channel gate of DMA: ``Sigmoid(FC(ReLU(FC(GAP(x)))))`` (paper, section 3.2).

    The two FC layers are 1x1 convolutions on a 1x1 map, which is the same function and keeps the
    tensor four-dimensional in every runtime.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[N, C, H, W]`` to factors in (0, 1) of shape ``[N, C, 1, 1]``."""
        pooled = x.mean((2, 3), keepdim=True)
        return torch.sigmoid(self.expand(torch.relu(self.reduce(pooled))))


class DMA(nn.Module):
    """Dynamic multi-level attention, the paper's replacement for self-attention (section 3.2).

    A 1x1 convolution expands C to N*C channels; depthwise convolutions of growing kernel and dilation
    (3/1, 5/2, 7/3) run in parallel on it and are summed (fusion by sum is this project's choice);
    BatchNorm, ReLU and a 1x1 convolution bring the result back to C; the gate, computed from the
    module's input, scales it per channel.
    """

    def __init__(self, config: ModelConfig, stage: int) -> None:
        super().__init__()
        channels = config.widths[stage]
        inner = config.expansion * channels
        self.expand = nn.Conv2d(channels, inner, 1)
        self.levels = nn.ModuleList(
            nn.Conv2d(
                inner,
                inner,
                kernel,
                padding=dilation * (kernel // 2),
                dilation=dilation,
                groups=inner,
                # BatchNorm behind the sum brings the only shift; without it the first level carries it.
                bias=index == 0 if config.norm == "none" else "levels" in config.conv_bias,
            )
            for index, (kernel, dilation) in enumerate(zip(config.kernels, config.dilations, strict=True))
        )
        self.norm = make_norm(config, inner)
        self.fuse = nn.Conv2d(inner, channels, 1)
        self.gate = Gate(channels, config.gate_width(stage))

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[N, C, H, W]`` to the same shape."""
        summed = self.sum_levels(self.expand(x))
        return cast(Tensor, self.gate(x) * self.fuse(torch.relu(self.norm(summed))))

    def sum_levels(self, expanded: Tensor) -> Tensor:
        """The sum of the parallel depthwise levels over ``[N, expansion * C, H, W]``."""
        first, *others = self.levels
        summed = first(expanded)
        for level in others:
            summed = summed + level(expanded)
        return cast(Tensor, summed)


class FFN(nn.Module):
    """Feed-forward part of a block: 1x1 convolution, exact GELU, 1x1 convolution (paper, section 3.1)."""

    def __init__(self, config: ModelConfig, stage: int) -> None:
        super().__init__()
        channels, hidden = config.widths[stage], config.ffn_width(stage)
        self.conv1 = nn.Conv2d(channels, hidden, 1)
        self.conv2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[N, C, H, W]`` to the same shape."""
        return cast(Tensor, self.conv2(nn.functional.gelu(self.conv1(x))))


class Block(nn.Module):
    """``x + DMA(norm(x))``, then ``x + FFN(norm(x))`` (paper, section 3.1; the norm is BatchNorm by
    this project's choice).
    """

    def __init__(self, config: ModelConfig, stage: int) -> None:
        super().__init__()
        channels = config.widths[stage]
        self.norm1 = make_norm(config, channels)
        self.dma = DMA(config, stage)
        self.scale1 = make_layer_scale(config, channels)
        self.norm2 = make_norm(config, channels)
        self.ffn = FFN(config, stage)
        self.scale2 = make_layer_scale(config, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[N, C, H, W]`` to the same shape."""
        x = x + self.scale1(self.dma(self.norm1(x)))
        return cast(Tensor, x + self.scale2(self.ffn(self.norm2(x))))
