"""DMFormer by somebody who started from timm's MetaFormer, from PoolFormer or from ConvNeXt."""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

import torch
from torch import Tensor, nn

from tests.model.elsewhere.conv2former import natural_stem
from tests.model.elsewhere.sizes import CLASSES, DEPTHS, EXPANSION, LEVELS, RATIOS, REDUCTION, STEM, WIDTHS, depthwise


class SqueezeExcite(nn.Module):
    """timm's EfficientNet-style one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, channels // REDUCTION, 1)
        self.act1 = nn.ReLU()
        self.conv_expand = nn.Conv2d(channels // REDUCTION, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.conv_expand(self.act1(self.conv_reduce(x.mean((2, 3), keepdim=True)))))


class TokenMixer(nn.Module):
    """On the pattern of SepConv: ``pwconv1``, depthwise, ``pwconv2``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner = EXPANSION * dim
        self.pwconv1 = nn.Conv2d(dim, inner, 1)
        self.dwconv = nn.ModuleList(depthwise(inner, kernel, dilation) for kernel, dilation in LEVELS)
        self.norm = nn.BatchNorm2d(inner)
        self.act = nn.ReLU()
        self.pwconv2 = nn.Conv2d(inner, dim, 1)
        self.se = SqueezeExcite(dim)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.pwconv1(x)
        first, second, third = (level(inner) for level in self.dwconv)
        return cast(Tensor, self.se(x) * self.pwconv2(self.act(self.norm(first + second + third))))


class Scale(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale.view(-1, 1, 1)


class Mlp(nn.Module):
    """timm's, with 1x1 convolutions (``use_conv``) or Linear on channels that come last."""

    def __init__(self, dim: int, hidden: int, use_conv: bool) -> None:
        super().__init__()
        self.use_conv = use_conv
        self.fc1 = nn.Conv2d(dim, hidden, 1) if use_conv else nn.Linear(dim, hidden)
        self.fc2 = nn.Conv2d(hidden, dim, 1) if use_conv else nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.use_conv else x.permute(0, 2, 3, 1)
        x = self.fc2(nn.functional.gelu(self.fc1(x)))
        return x if self.use_conv else x.permute(0, 3, 1, 2)


class MetaFormerBlock(nn.Module):
    def __init__(self, dim: int, ratio: int, use_conv: bool) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(dim)
        self.token_mixer = TokenMixer(dim)
        self.layer_scale1 = Scale(dim)
        self.res_scale1 = nn.Identity()
        self.norm2 = nn.BatchNorm2d(dim)
        self.mlp = Mlp(dim, ratio * dim, use_conv)
        self.layer_scale2 = Scale(dim)
        self.res_scale2 = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.res_scale1(x) + self.layer_scale1(self.token_mixer(self.norm1(x)))
        return cast(Tensor, self.res_scale2(x) + self.layer_scale2(self.mlp(self.norm2(x))))


class Downsampling(nn.Module):
    def __init__(self, before: int, dim: int) -> None:
        super().__init__()
        self.norm = nn.Identity()
        self.conv = nn.Conv2d(before, dim, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv(self.norm(x)))


class Stem(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, STEM, 7, stride=2, padding=3, bias=False)
        self.norm1 = nn.BatchNorm2d(STEM)
        self.conv2 = nn.Conv2d(STEM, STEM, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(STEM)
        self.conv3 = nn.Conv2d(STEM, dim, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm1(self.conv1(x)))
        x = torch.relu(self.norm2(self.conv2(x)))
        return cast(Tensor, self.conv3(x))


class MetaFormerStage(nn.Module):
    def __init__(self, stage: int, use_conv: bool) -> None:
        super().__init__()
        dim = WIDTHS[stage]
        self.downsample = Downsampling(WIDTHS[stage - 1], dim) if stage else nn.Identity()
        self.blocks = nn.Sequential(*[MetaFormerBlock(dim, RATIOS[stage], use_conv) for _ in range(DEPTHS[stage])])

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.blocks(self.downsample(x)))


class MetaFormer(nn.Module):
    """``stem``, ``stages.{s}.downsample/blocks``, ``head.norm``, ``head.fc``."""

    def __init__(self, use_conv: bool = True) -> None:
        super().__init__()
        self.stem = Stem(WIDTHS[0])
        self.stages = nn.Sequential(*[MetaFormerStage(stage, use_conv) for stage in range(4)])
        parts: list[tuple[str, nn.Module]] = [
            ("global_pool", nn.AdaptiveAvgPool2d(1)),
            ("norm", nn.BatchNorm2d(WIDTHS[-1])),
            ("flatten", nn.Flatten(1)),
            ("drop", nn.Dropout(0.2)),
            ("fc", nn.Linear(WIDTHS[-1], CLASSES)),
        ]
        self.head = nn.Sequential(OrderedDict(parts))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.stages(self.stem(x))))


class LinearMetaFormer(MetaFormer):
    def __init__(self) -> None:
        super().__init__(use_conv=False)


class PoolFormerBlock(nn.Module):
    """PoolFormer's own: the scales are bare parameters."""

    def __init__(self, dim: int, ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(dim)
        self.token_mixer = TokenMixer(dim)
        self.norm2 = nn.BatchNorm2d(dim)
        self.mlp = Mlp(dim, ratio * dim, use_conv=True)
        self.layer_scale_1 = nn.Parameter(1e-5 * torch.ones(dim))
        self.layer_scale_2 = nn.Parameter(1e-5 * torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.layer_scale_1.view(-1, 1, 1) * self.token_mixer(self.norm1(x))
        return cast(Tensor, x + self.layer_scale_2.view(-1, 1, 1) * self.mlp(self.norm2(x)))


class PoolEmbed(nn.Module):
    def __init__(self, before: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(before, dim, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.proj(x))


class PoolFormer(nn.Module):
    """``patch_embed``, and ``network`` in which stages and the steps between them take turns."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = Stem(WIDTHS[0])
        network: list[nn.Module] = []
        for stage, dim in enumerate(WIDTHS):
            network.append(nn.Sequential(*[PoolFormerBlock(dim, RATIOS[stage]) for _ in range(DEPTHS[stage])]))
            if stage < 3:
                network.append(PoolEmbed(dim, WIDTHS[stage + 1]))
        self.network = nn.ModuleList(network)
        self.norm = nn.BatchNorm2d(WIDTHS[-1])
        self.head = nn.Linear(WIDTHS[-1], CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        for part in self.network:
            x = part(x)
        return cast(Tensor, self.head(self.norm(x).mean([-2, -1])))


class ConvNeXtAttention(nn.Module):
    """The levels are told apart by their kernels, the gate's layers are Linear."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner = EXPANSION * dim
        self.pw_in = nn.Linear(dim, inner)
        self.dwconv3, self.dwconv5, self.dwconv7 = (depthwise(inner, kernel, dilation) for kernel, dilation in LEVELS)
        self.norm = nn.BatchNorm2d(inner)
        self.pw_out = nn.Linear(inner, dim)
        self.fc1 = nn.Linear(dim, dim // REDUCTION)
        self.fc2 = nn.Linear(dim // REDUCTION, dim)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean((2, 3))))))
        inner = self.pw_in(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        summed = torch.relu(self.norm(self.dwconv3(inner) + self.dwconv5(inner) + self.dwconv7(inner)))
        return cast(Tensor, gate[:, :, None, None] * self.pw_out(summed.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


class ConvNeXtBlock(nn.Module):
    """``pwconv1``, ``pwconv2`` and ``gamma`` stay the names of the second half, as they were in ConvNeXt."""

    def __init__(self, dim: int, ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(dim)
        self.attn = ConvNeXtAttention(dim)
        self.norm2 = nn.BatchNorm2d(dim)
        self.pwconv1 = nn.Linear(dim, ratio * dim)
        self.act = nn.GELU()
        self.pwconv2 = nn.Linear(ratio * dim, dim)
        self.gamma_1 = nn.Parameter(1e-6 * torch.ones(dim))
        self.gamma_2 = nn.Parameter(1e-6 * torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.gamma_1[:, None, None] * self.attn(self.norm1(x))
        fed: Tensor = self.norm2(x).permute(0, 2, 3, 1)
        fed = self.gamma_2 * self.pwconv2(self.act(self.pwconv1(fed)))
        return x + fed.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """``downsample_layers.0`` is the stem, ``downsample_layers.{s}.0`` the steps, ``stages.{s}.{b}`` the blocks."""

    def __init__(self, with_norms: bool = False) -> None:
        super().__init__()
        norms = ([nn.BatchNorm2d(width)] if with_norms else [] for width in WIDTHS)
        steps = (nn.Sequential(*next(norms), nn.Conv2d(WIDTHS[at], WIDTHS[at + 1], 2, stride=2)) for at in range(3))
        self.downsample_layers = nn.ModuleList([natural_stem(WIDTHS[0], STEM), *steps])
        self.stages = nn.ModuleList(
            nn.Sequential(*[ConvNeXtBlock(dim, ratio) for _ in range(depth)])
            for dim, ratio, depth in zip(WIDTHS, RATIOS, DEPTHS, strict=True)
        )
        self.norm = nn.BatchNorm1d(WIDTHS[-1])
        self.head = nn.Linear(WIDTHS[-1], CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        return cast(Tensor, self.head(self.norm(x.mean([-2, -1]))))


def convnext_with_norms() -> ConvNeXt:
    """The norms that ConvNeXt has in front of each step (LayerNorm there)."""
    return ConvNeXt(with_norms=True)
