"""DMFormer with this project's names, written again, and with the parts that people like to write their own way."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from tests.model.elsewhere.conv2former import channel_gate
from tests.model.elsewhere.metaformer import SqueezeExcite, Stem
from tests.model.elsewhere.sizes import CLASSES, DEPTHS, EXPANSION, LEVELS, RATIOS, REDUCTION, WIDTHS, depthwise
from tests.model.elsewhere.van import SELayer


class ConvGate(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(dim, dim // REDUCTION, 1)
        self.expand = nn.Conv2d(dim // REDUCTION, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.expand(torch.relu(self.reduce(x.mean((2, 3), True)))))


class LinearGate(nn.Module):
    """The same two names, as Linear."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(dim, dim // REDUCTION)
        self.expand = nn.Linear(dim // REDUCTION, dim)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.expand(torch.relu(self.reduce(x.mean((2, 3))))))[..., None, None]


class DMA(nn.Module):
    def __init__(self, dim: int, gate: Callable[[int], nn.Module]) -> None:
        super().__init__()
        inner = EXPANSION * dim
        self.expand = nn.Conv2d(dim, inner, 1)
        self.levels = nn.ModuleList(depthwise(inner, kernel, dilation) for kernel, dilation in LEVELS)
        self.norm = nn.BatchNorm2d(inner)
        self.fuse = nn.Conv2d(inner, dim, 1)
        self.gate = gate(dim)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.expand(x)
        summed = self.levels[0](inner) + self.levels[1](inner) + self.levels[2](inner)
        return cast(Tensor, self.gate(x) * self.fuse(torch.relu(self.norm(summed))))


class FFN(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, hidden, 1)
        self.conv2 = nn.Conv2d(hidden, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv2(nn.functional.gelu(self.conv1(x))))


class Scale(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight.view(-1, 1, 1)


class Block(nn.Module):
    def __init__(
        self, dim: int, ratio: int, gate: Callable[[int], nn.Module], scale: Callable[[int], nn.Module]
    ) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(dim)
        self.dma = DMA(dim, gate)
        self.scale1 = scale(dim)
        self.norm2 = nn.BatchNorm2d(dim)
        self.ffn = FFN(dim, ratio * dim)
        self.scale2 = scale(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.scale1(self.dma(self.norm1(x)))
        return cast(Tensor, x + self.scale2(self.ffn(self.norm2(x))))


class Native(nn.Module):
    """This project's names, whatever the gate and the scales are.

    Args:
        gate: Makes the gate of a number of channels.
        scale: Makes the factor per channel.
    """

    def __init__(
        self,
        gate: Callable[[int], nn.Module] = ConvGate,
        scale: Callable[[int], nn.Module] = lambda dim: Scale((dim,)),
    ) -> None:
        super().__init__()
        self.stem = Stem(WIDTHS[0])
        self.downsamples = nn.ModuleList(nn.Conv2d(WIDTHS[at], WIDTHS[at + 1], 2, stride=2) for at in range(3))
        self.stages = nn.ModuleList(
            nn.ModuleList(Block(dim, ratio, gate, scale) for _ in range(depth))
            for dim, ratio, depth in zip(WIDTHS, RATIOS, DEPTHS, strict=True)
        )
        self.norm = nn.BatchNorm2d(WIDTHS[-1])
        self.head: nn.Module = nn.Linear(WIDTHS[-1], CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for index, stage in enumerate(self.stages):
            x = self.downsamples[index - 1](x) if index else x
            for block in stage.children():
                x = block(x)
        return self.classify(self.norm(x))

    def classify(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.head(x.mean((2, 3))))


def native_squeeze_excite() -> Native:
    """``dma.gate.fc.0`` and ``.2``, Linear."""
    return Native(SELayer)


def native_pooled() -> Native:
    """``dma.gate.1`` and ``.3``."""
    return Native(channel_gate)


def native_timm() -> Native:
    """``dma.gate.conv_reduce`` and ``conv_expand``; scales of rank 3."""
    return Native(SqueezeExcite, lambda dim: Scale((dim, 1, 1)))


def native_linear() -> Native:
    """``dma.gate.reduce`` and ``expand`` as Linear; scales of rank 4."""
    return Native(LinearGate, lambda dim: Scale((1, dim, 1, 1)))


class ConvHead(Native):
    """The classifier as a 1x1 convolution, and nothing else of its own."""

    def __init__(self) -> None:
        super().__init__(channel_gate)
        self.head = nn.Conv2d(WIDTHS[-1], CLASSES, 1)

    def classify(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.head(x.mean((2, 3), True))).flatten(1)
