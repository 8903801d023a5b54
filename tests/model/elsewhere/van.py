"""DMFormer by somebody who started from VAN (`models/van.py`) or from SegNeXt's MSCAN (`mscan.py`)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from tests.model.elsewhere.conv2former import natural_stem
from tests.model.elsewhere.sizes import CLASSES, DEPTHS, EXPANSION, LEVELS, RATIOS, REDUCTION, STEM, WIDTHS, depthwise


class ChannelGate(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(dim, dim // REDUCTION, 1)
        self.fc2 = nn.Conv2d(dim // REDUCTION, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.adaptive_avg_pool2d(x, 1)
        return torch.sigmoid(self.fc2(torch.relu(self.fc1(x))))


class SELayer(nn.Module):
    """The squeeze-excite layer of most repositories: two Linear in a Sequential."""

    def __init__(self, channel: int, reduction: int = REDUCTION) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(channel, channel // reduction),
            nn.ReLU(),
            nn.Linear(channel // reduction, channel),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        b, c = x.shape[:2]
        pooled: Tensor = self.avg_pool(x)
        weights: Tensor = self.fc(pooled.view(b, c))
        return weights.view(b, c, 1, 1)


class AttentionModule(nn.Module):
    """VAN's place for the depthwise convolutions, numbered on from its ``conv0``."""

    def __init__(self, dim: int, names: tuple[str, str, str], with_norm: bool) -> None:
        super().__init__()
        self.names = names
        for name, (kernel, dilation) in zip(names, LEVELS, strict=True):
            self.add_module(name, depthwise(dim, kernel, dilation))
        if with_norm:
            self.norm = nn.BatchNorm2d(dim)
        self.with_norm = with_norm

    def forward(self, x: Tensor) -> Tensor:
        first, second, third = (self.get_submodule(name)(x) for name in self.names)
        x = first + second + third
        return cast(Tensor, self.norm(x) if self.with_norm else x)


class SpatialAttention(nn.Module):
    """``proj_1``, the unit, ``proj_2`` as in VAN, and a gate."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        inner = EXPANSION * d_model
        self.proj_1 = nn.Conv2d(d_model, inner, 1)
        self.spatial_gating_unit = AttentionModule(inner, ("conv0", "conv1", "conv2"), with_norm=True)
        self.activation = nn.ReLU()
        self.proj_2 = nn.Conv2d(inner, d_model, 1)
        self.gate = ChannelGate(d_model)

    def forward(self, x: Tensor) -> Tensor:
        attn: Tensor = self.gate(x)
        x = self.spatial_gating_unit(self.proj_1(x))
        return cast(Tensor, attn * self.proj_2(self.activation(x)))


class MultiScaleAttention(nn.Module):
    """The same with MSCAN's names of branches, its norm outside the unit and a squeeze-excite layer."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        inner = EXPANSION * d_model
        self.proj_1 = nn.Conv2d(d_model, inner, 1)
        self.spatial_gating_unit = AttentionModule(inner, ("conv0_1", "conv1_1", "conv2_1"), with_norm=False)
        self.norm = nn.BatchNorm2d(inner)
        self.proj_2 = nn.Conv2d(inner, d_model, 1)
        self.se = SELayer(d_model)

    def forward(self, x: Tensor) -> Tensor:
        fused = torch.relu(self.norm(self.spatial_gating_unit(self.proj_1(x))))
        projected: Tensor = self.proj_2(fused)
        return cast(Tensor, projected * self.se(x))


class ConvMlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(dim, hidden, 1)
        self.act = nn.GELU()
        self.fc2 = nn.Conv2d(hidden, dim, 1)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.act(self.fc1(x)))
        return cast(Tensor, self.drop(self.fc2(x)))


class Block(nn.Module):
    """VAN's block; MSCAN's here has its layer scale as ``[C, 1, 1]``, and None is for no layer scale."""

    def __init__(self, dim: int, ratio: int, attention: type[nn.Module], scale_shape: tuple[int, ...] | None) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(dim)
        self.attn = attention(dim)
        self.norm2 = nn.BatchNorm2d(dim)
        self.mlp = ConvMlp(dim, ratio * dim)
        self.layer_scale_1 = self.layer_scale_2 = torch.ones(1)
        if scale_shape is not None:
            del self.layer_scale_1, self.layer_scale_2
            self.layer_scale_1 = nn.Parameter(0.01 * torch.ones(dim, *scale_shape))
            self.layer_scale_2 = nn.Parameter(0.01 * torch.ones(dim, *scale_shape))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.layer_scale_1.view(-1, 1, 1) * self.attn(self.norm1(x))
        return cast(Tensor, x + self.layer_scale_2.view(-1, 1, 1) * self.mlp(self.norm2(x)))


class StemEmbed(nn.Module):
    """Layers by name; the last one is called as in the other patch embeddings."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, STEM, 7, stride=2, padding=3, bias=False)
        self.norm1 = nn.BatchNorm2d(STEM)
        self.conv2 = nn.Conv2d(STEM, STEM, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(STEM)
        self.proj = nn.Conv2d(STEM, dim, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm1(self.conv1(x)))
        x = torch.relu(self.norm2(self.conv2(x)))
        return cast(Tensor, self.proj(x))


class StemConv(nn.Module):
    """MSCAN's: one Sequential, half as wide as the first stage."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = natural_stem(dim, dim // 2)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.proj(x))


class PatchEmbed(nn.Module):
    def __init__(self, before: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(before, dim, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.proj(x))


class Van(nn.Module):
    """``patch_embed1 ... 4``, ``block1 ... 4``, ``norm4``, ``head``."""

    def __init__(
        self,
        stem: type[nn.Module] = StemEmbed,
        attention: type[nn.Module] = SpatialAttention,
        scale_shape: tuple[int, ...] | None = (),
    ) -> None:
        super().__init__()
        for index, dim in enumerate(WIDTHS):
            embed = PatchEmbed(WIDTHS[index - 1], dim) if index else stem(dim)
            blocks = (Block(dim, RATIOS[index], attention, scale_shape) for _ in range(DEPTHS[index]))
            self.add_module(f"patch_embed{index + 1}", embed)
            self.add_module(f"block{index + 1}", nn.ModuleList(blocks))
        self.norm4 = nn.BatchNorm2d(WIDTHS[-1])
        self.head = nn.Linear(WIDTHS[-1], CLASSES)

    def forward_features(self, x: Tensor) -> list[Tensor]:
        maps = []
        for index in range(4):
            x = self.get_submodule(f"patch_embed{index + 1}")(x)
            for block in self.get_submodule(f"block{index + 1}").children():
                x = block(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm4(self.forward_features(x)[-1])
        return cast(Tensor, self.head(x.flatten(2).mean(2)))


class Mscan(Van):
    """MSCAN's stem, branches and scales on the same skeleton."""

    def __init__(self) -> None:
        super().__init__(StemConv, MultiScaleAttention, (1, 1))


class NormedVan(Van):
    """The norms that VAN has besides: behind each patch embedding, and behind each stage (LayerNorm there)."""

    def __init__(self) -> None:
        super().__init__()
        for index, dim in enumerate(WIDTHS):
            self.get_submodule(f"patch_embed{index + 1}").add_module("norm", nn.BatchNorm2d(dim))
            if index < 3:
                self.add_module(f"norm{index + 1}", nn.BatchNorm2d(dim))

    def forward_features(self, x: Tensor) -> list[Tensor]:
        maps = []
        for index in range(4):
            embed = self.get_submodule(f"patch_embed{index + 1}")
            x = embed.get_submodule("norm")(embed(x))
            for block in self.get_submodule(f"block{index + 1}").children():
                x = block(x)
            x = self.get_submodule(f"norm{index + 1}")(x) if index < 3 else x
            maps.append(x)
        return maps


def van_without_scales() -> Van:
    """No layer scale at all."""
    return Van(scale_shape=None)


def van_with_biases() -> Van:
    """VAN's own default: a bias in every convolution, also where BatchNorm follows and takes it away again."""
    network = Van()
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.bias is None:
            module.bias = nn.Parameter(torch.zeros(module.out_channels))
    return network
