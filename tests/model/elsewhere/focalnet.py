"""DMFormer by somebody who started from FocalNet: from timm's port, and from the original."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from tests.model.elsewhere.sizes import CLASSES, DEPTHS, EXPANSION, LEVELS, RATIOS, REDUCTION, STEM, WIDTHS, depthwise
from tests.model.elsewhere.van import ConvMlp, PatchEmbed


def focal_layers(dim: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Sequential(depthwise(dim, kernel, dilation), nn.Identity()) for kernel, dilation in LEVELS)


class SEModule(nn.Module):
    """timm's: two convolutions around an Identity that may be a norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // REDUCTION, 1)
        self.bn = nn.Identity()
        self.act = nn.ReLU()
        self.fc2 = nn.Conv2d(channels // REDUCTION, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3), keepdim=True)
        return cast(Tensor, self.gate(self.fc2(self.act(self.bn(self.fc1(pooled))))))


class Modulation(nn.Module):
    """NCHW, as in timm: ``f``, ``focal_layers``, ``norm``, ``proj``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.f = nn.Conv2d(dim, EXPANSION * dim, 1)
        self.focal_layers = focal_layers(EXPANSION * dim)
        self.norm = nn.BatchNorm2d(EXPANSION * dim)
        self.act = nn.ReLU()
        self.proj = nn.Conv2d(EXPANSION * dim, dim, 1)
        self.se = SEModule(dim)

    def forward(self, x: Tensor) -> Tensor:
        ctx: Tensor = self.f(x)
        ctx_all = torch.zeros_like(ctx)
        for layer in self.focal_layers:
            ctx_all = ctx_all + layer(ctx)
        return cast(Tensor, self.se(x) * self.proj(self.act(self.norm(ctx_all))))


class LayerScale2d(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(1e-4 * torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma.view(1, -1, 1, 1)


class FocalBlock(nn.Module):
    def __init__(self, dim: int, ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(dim)
        self.modulation = Modulation(dim)
        self.ls1 = LayerScale2d(dim)
        self.norm2 = nn.BatchNorm2d(dim)
        self.mlp = ConvMlp(dim, ratio * dim)
        self.ls2 = LayerScale2d(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.modulation(self.norm1(x)))
        return cast(Tensor, x + self.ls2(self.mlp(self.norm2(x))))


class Stem(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, STEM, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.conv2 = nn.Conv2d(STEM, STEM, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(STEM)
        self.proj = nn.Conv2d(STEM, dim, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return cast(Tensor, self.proj(x))


class FocalStage(nn.Module):
    """timm halves the resolution at the start of a stage."""

    def __init__(self, stage: int) -> None:
        super().__init__()
        dim = WIDTHS[stage]
        self.downsample = PatchEmbed(WIDTHS[stage - 1], dim) if stage else nn.Identity()
        self.blocks = nn.ModuleList(FocalBlock(dim, RATIOS[stage]) for _ in range(DEPTHS[stage]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.downsample(x)
        for block in self.blocks:
            x = block(x)
        return x


class ClassifierHead(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc = nn.Linear(dim, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.fc(x.mean((2, 3))))


class TimmFocalNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = Stem(WIDTHS[0])
        self.layers = nn.Sequential(*[FocalStage(stage) for stage in range(4)])
        self.norm = nn.BatchNorm2d(WIDTHS[-1])
        self.head = ClassifierHead(WIDTHS[-1])

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.norm(self.layers(self.stem(x)))))


class LinearModulation(nn.Module):
    """NHWC, as in the original: ``f`` and ``proj`` are Linear, the gate's two layers too."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.f = nn.Linear(dim, EXPANSION * dim)
        self.focal_layers = focal_layers(EXPANSION * dim)
        self.bn = nn.BatchNorm2d(EXPANSION * dim)
        self.proj = nn.Linear(EXPANSION * dim, dim)
        self.gate_reduce = nn.Linear(dim, dim // REDUCTION)
        self.gate_expand = nn.Linear(dim // REDUCTION, dim)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate_expand(torch.relu(self.gate_reduce(x.mean((1, 2))))))
        ctx = self.f(x).permute(0, 3, 1, 2)
        ctx_all = torch.relu(self.bn(self.focal_layers[0](ctx) + self.focal_layers[1](ctx) + self.focal_layers[2](ctx)))
        return cast(Tensor, gate[:, None, None, :] * self.proj(ctx_all.permute(0, 2, 3, 1)))


class LinearMlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.fc2(nn.functional.gelu(self.fc1(x))))


class OriginalBlock(nn.Module):
    def __init__(self, dim: int, ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(dim)
        self.modulation = LinearModulation(dim)
        self.norm2 = nn.BatchNorm2d(dim)
        self.mlp = LinearMlp(dim, ratio * dim)
        self.gamma_1 = nn.Parameter(1e-4 * torch.ones(dim))
        self.gamma_2 = nn.Parameter(1e-4 * torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.gamma_1 * self.modulation(self.norm1(x).permute(0, 2, 3, 1))
        x = x + mixed.permute(0, 3, 1, 2)
        fed: Tensor = self.gamma_2 * self.mlp(self.norm2(x).permute(0, 2, 3, 1))
        return x + fed.permute(0, 3, 1, 2)


class BasicLayer(nn.Module):
    """The original halves the resolution at the end: ``downsample`` of stage s belongs to what follows it."""

    def __init__(self, stage: int) -> None:
        super().__init__()
        dim = WIDTHS[stage]
        self.blocks = nn.ModuleList(OriginalBlock(dim, RATIOS[stage]) for _ in range(DEPTHS[stage]))
        self.downsample = PatchEmbed(dim, WIDTHS[stage + 1]) if stage < 3 else None

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class OriginalFocalNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = Stem(WIDTHS[0])
        self.layers = nn.ModuleList(BasicLayer(stage) for stage in range(4))
        self.norm = nn.BatchNorm2d(WIDTHS[-1])
        self.head = nn.Linear(WIDTHS[-1], CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        for layer in self.layers:
            x = layer(x)
        return cast(Tensor, self.head(self.norm(x).mean((2, 3))))
