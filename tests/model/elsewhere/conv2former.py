"""DMFormer by somebody who started from Conv2Former (`models/conv2former.py`, `convmod.py`)."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from tests.model.elsewhere.sizes import CLASSES, DEPTHS, EXPANSION, LEVELS, RATIOS, REDUCTION, WIDTHS, depthwise


def channel_gate(dim: int) -> nn.Sequential:
    """A gate that pools by itself: its convolutions are the layers 1 and 3."""
    hidden = dim // REDUCTION
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Conv2d(dim, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, dim, 1), nn.Sigmoid()
    )


class MultiLevel(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv3, self.conv5, self.conv7 = (depthwise(dim, kernel, dilation) for kernel, dilation in LEVELS)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv3(x) + self.conv5(x) + self.conv7(x))


class SpatialAttention(nn.Module):
    """``att`` is one Sequential as there, and the gate has the place of ``v``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner = EXPANSION * dim
        self.norm = nn.BatchNorm2d(dim)
        self.att = nn.Sequential(nn.Conv2d(dim, inner, 1), MultiLevel(inner), nn.BatchNorm2d(inner), nn.ReLU())
        self.v = channel_gate(dim)
        self.proj = nn.Conv2d(inner, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return cast(Tensor, self.proj(self.att(x)) * self.v(x))


class ConvMod(nn.Module):
    """``a`` as in ``convmod.py``, where layer 2 is the depthwise one: here a list of three."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner = EXPANSION * dim
        self.norm = nn.BatchNorm2d(dim)
        levels = nn.ModuleList(depthwise(inner, kernel, dilation) for kernel, dilation in LEVELS)
        self.a = nn.ModuleList([nn.Conv2d(dim, inner, 1), nn.Identity(), levels])
        self.bn = nn.BatchNorm2d(inner)
        self.gate = channel_gate(dim)
        self.proj = nn.Conv2d(inner, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        expand, act, levels = self.a
        inner: Tensor = act(expand(x))
        summed = torch.stack([level(inner) for level in levels.children()]).sum(0)
        return cast(Tensor, self.gate(x) * self.proj(torch.relu(self.bn(summed))))


class MLP(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(dim)
        self.fc1 = nn.Conv2d(dim, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, dim, 1)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.fc2(self.act(self.fc1(self.norm(x)))))


class Block(nn.Module):
    """The norms are inside of ``attn`` and ``mlp``."""

    def __init__(self, dim: int, ratio: int, attention: type[nn.Module]) -> None:
        super().__init__()
        self.attn = attention(dim)
        self.mlp = MLP(dim, ratio * dim)
        self.layer_scale_1 = nn.Parameter(1e-6 * torch.ones(dim))
        self.layer_scale_2 = nn.Parameter(1e-6 * torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.layer_scale_1.unsqueeze(-1).unsqueeze(-1) * self.attn(x)
        return cast(Tensor, x + self.layer_scale_2.unsqueeze(-1).unsqueeze(-1) * self.mlp(x))


class IndexedStem(nn.Sequential):
    """BatchNorm at 2 and 5, where Conv2Former has it; it acts before the ReLU all the same."""

    def __init__(self, dim: int, stem: int) -> None:
        super().__init__(
            nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False),
            nn.Identity(),
            nn.BatchNorm2d(stem),
            nn.Conv2d(stem, stem, 3, padding=1, bias=False),
            nn.Identity(),
            nn.BatchNorm2d(stem),
            nn.Conv2d(stem, dim, 2, stride=2),
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = layer(x)
            if isinstance(layer, nn.BatchNorm2d):
                x = torch.relu(x)
        return x


def natural_stem(dim: int, stem: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(stem),
        nn.ReLU(),
        nn.Conv2d(stem, stem, 3, padding=1, bias=False),
        nn.BatchNorm2d(stem),
        nn.ReLU(),
        nn.Conv2d(stem, dim, 2, stride=2),
    )


class Conv2Former(nn.Module):
    """``downsample_layers``, ``stages``, ``norm``, ``pred``; where a LayerNorm stood is an Identity now."""

    def __init__(self) -> None:
        super().__init__()
        between = (
            nn.Sequential(nn.Identity(), nn.Conv2d(before, after, 2, stride=2)) for before, after in pairwise(WIDTHS)
        )
        self.downsample_layers = nn.ModuleList([IndexedStem(WIDTHS[0], WIDTHS[0] // 2), *between])
        self.stages = nn.ModuleList(
            nn.Sequential(*[Block(dim, ratio, SpatialAttention) for _ in range(depth)])
            for dim, ratio, depth in zip(WIDTHS, RATIOS, DEPTHS, strict=True)
        )
        self.norm = nn.BatchNorm2d(WIDTHS[-1])
        self.pred = nn.Linear(WIDTHS[-1], CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        return cast(Tensor, self.pred(self.norm(x).mean([-2, -1])))


class ConvModFormer(nn.Module):
    """A shorter one: plain convolutions between the stages, and all of the head in one Sequential."""

    def __init__(self) -> None:
        super().__init__()
        between = (nn.Conv2d(before, after, kernel_size=2, stride=2) for before, after in pairwise(WIDTHS))
        self.downsample_layers = nn.ModuleList([natural_stem(WIDTHS[0], WIDTHS[0] // 2), *between])
        self.stages = nn.ModuleList(
            nn.Sequential(*[Block(dim, ratio, ConvMod) for _ in range(depth)])
            for dim, ratio, depth in zip(WIDTHS, RATIOS, DEPTHS, strict=True)
        )
        self.head = nn.Sequential(
            nn.BatchNorm2d(WIDTHS[-1]), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], CLASSES)
        )

    def forward(self, x: Tensor) -> Tensor:
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        return cast(Tensor, self.head(x))
