"""DMFormer as a backbone of mmpretrain, on the pattern of its VAN (`mmpretrain/models/backbones/van.py`)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from tests.model.elsewhere.sizes import CLASSES, DEPTHS, EXPANSION, LEVELS, RATIOS, REDUCTION, STEM, WIDTHS, depthwise
from tests.model.elsewhere.van import ConvMlp


class ConvModule(nn.Module):
    """mmcv's: ``conv``, ``bn``, ``activate``."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, with_norm: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2, bias=not with_norm)
        if with_norm:
            self.bn = nn.BatchNorm2d(after)
        self.with_norm = with_norm

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return torch.relu(self.bn(x)) if self.with_norm else x


class SELayer(nn.Module):
    """mmpretrain's squeeze-excite: two ConvModules without a norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.global_avgpool = nn.AdaptiveAvgPool2d(1)
        self.conv1 = ConvModule(channels, channels // REDUCTION, 1, with_norm=False)
        self.conv2 = ConvModule(channels // REDUCTION, channels, 1, with_norm=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.conv2(torch.relu(self.conv1(self.global_avgpool(x)))))


class DynamicLKA(nn.Module):
    def __init__(self, embed_dims: int) -> None:
        super().__init__()
        self.DW_convs = nn.ModuleList(depthwise(embed_dims, kernel, dilation) for kernel, dilation in LEVELS)
        self.norm = nn.BatchNorm2d(embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        first, second, third = (conv(x) for conv in self.DW_convs)
        return torch.relu(self.norm(first + second + third))


class SpatialAttention(nn.Module):
    def __init__(self, embed_dims: int) -> None:
        super().__init__()
        self.proj_1 = nn.Conv2d(embed_dims, EXPANSION * embed_dims, 1)
        self.spatial_gating_unit = DynamicLKA(EXPANSION * embed_dims)
        self.proj_2 = nn.Conv2d(EXPANSION * embed_dims, embed_dims, 1)
        self.se_layer = SELayer(embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.proj_2(self.spatial_gating_unit(self.proj_1(x))) * self.se_layer(x))


class Block(nn.Module):
    def __init__(self, embed_dims: int, ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(embed_dims)
        self.attn = SpatialAttention(embed_dims)
        self.norm2 = nn.BatchNorm2d(embed_dims)
        self.mlp = ConvMlp(embed_dims, ratio * embed_dims)
        self.layer_scale_1 = nn.Parameter(1e-2 * torch.ones(embed_dims))
        self.layer_scale_2 = nn.Parameter(1e-2 * torch.ones(embed_dims))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.layer_scale_1.unsqueeze(-1).unsqueeze(-1) * self.attn(self.norm1(x))
        return cast(Tensor, x + self.layer_scale_2.unsqueeze(-1).unsqueeze(-1) * self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """mmcv calls its convolution ``projection``."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(before, after, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.projection(x))


class Stem(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = ConvModule(3, STEM, 7, stride=2)
        self.conv2 = ConvModule(STEM, STEM, 3)
        self.projection = nn.Conv2d(STEM, dim, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.projection(self.conv2(self.conv1(x))))


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for index, dim in enumerate(WIDTHS):
            self.add_module(f"patch_embed{index + 1}", PatchEmbed(WIDTHS[index - 1], dim) if index else Stem(dim))
            blocks = nn.ModuleList(Block(dim, RATIOS[index]) for _ in range(DEPTHS[index]))
            self.add_module(f"blocks{index + 1}", blocks)
        self.norm4 = nn.BatchNorm2d(WIDTHS[-1])

    def forward(self, x: Tensor) -> tuple[Tensor]:
        for index in range(4):
            x = self.get_submodule(f"patch_embed{index + 1}")(x)
            for block in self.get_submodule(f"blocks{index + 1}").children():
                x = block(x)
        return (self.norm4(x),)


class LinearClsHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(WIDTHS[-1], CLASSES)

    def forward(self, feats: tuple[Tensor]) -> Tensor:
        return cast(Tensor, self.fc(feats[-1].mean((2, 3))))


class ImageClassifier(nn.Module):
    """``backbone``, ``neck`` (a pooling, without weights), ``head.fc``."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.head = LinearClsHead()

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.backbone(x)))
