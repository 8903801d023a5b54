"""Semantic FPN and UPerNet: the networks of `dmformer.tasks.segmentation_heads`.

Forms and names of tensors are mmsegmentation's (``FPN``, ``FPNHead``, ``UPerHead``), so that its checkpoints fit by
their prefixes alone. Sides of an input are divisible by 32: every enlargement but pyramid pooling's has a whole factor.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from dmformer.model.config import STAGES, ModelConfig
from dmformer.model.heads import ConvNorm, HeadNetwork, Maps
from dmformer.tasks.segmentation_heads import FpnHead, UperNetHead


class Lateral(nn.Module):
    """A convolution with bias and nothing behind it, named as mmsegmentation's ``ConvModule`` without norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv(x))


class FpnNeck(nn.Module):
    """Feature pyramid: 1x1 laterals, top-down sums of maps enlarged by nearest, a 3x3 convolution for each level."""

    def __init__(self, widths: Iterable[int], channels: int) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(Lateral(width, channels, 1) for width in widths)
        self.fpn_convs = nn.ModuleList(Lateral(channels, channels, 3) for _ in self.lateral_convs)

    def forward(self, maps: Maps) -> list[Tensor]:
        """Maps the four feature maps to four of equal channels."""
        laterals = [lateral(x) for lateral, x in zip(self.lateral_convs, maps, strict=True)]
        for level in range(STAGES - 1, 0, -1):
            laterals[level - 1] = laterals[level - 1] + nn.functional.interpolate(laterals[level], scale_factor=2.0)
        return [conv(x) for conv, x in zip(self.fpn_convs, laterals, strict=True)]


class SemanticFpn(HeadNetwork):
    """The pyramid, a branch of 3x3 convolutions and enlargements for each level, their sum, and 1x1 scores."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        head = cast(FpnHead, config.head)
        self.neck = FpnNeck(config.widths, head.neck)
        self.scale_heads = nn.ModuleList(_branch(config, head, level) for level in range(STAGES))
        self.conv_seg = nn.Conv2d(head.width, head.classes, 1)

    def forward(self, maps: Maps) -> Tensor:
        """Maps the four feature maps to scores ``[N, classes, H / 4, W / 4]``."""
        first, *others = (branch(x) for branch, x in zip(self.scale_heads, self.neck(maps), strict=True))
        for other in others:
            first = first + other
        return cast(Tensor, self.conv_seg(first))


def _branch(config: ModelConfig, head: FpnHead, level: int) -> nn.Sequential:
    steps: list[nn.Module] = []
    for step in range(max(1, level)):
        steps.append(ConvNorm(config, head.width if step else head.neck, head.width, 3))
        if level:
            steps.append(nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False))
    return nn.Sequential(*steps)


class UperNet(HeadNetwork):
    """Pyramid pooling of the last map, top-down sums with the others, all joined at stride 4, and 1x1 scores."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        head, last = cast(UperNetHead, config.head), config.widths[-1]
        width = head.width
        self.psp_modules = nn.ModuleList(
            nn.Sequential(AreaPool(scale), ConvNorm(config, last, width, 1)) for scale in head.scales
        )
        self.bottleneck = ConvNorm(config, last + len(head.scales) * width, width, 3)
        self.lateral_convs = nn.ModuleList(ConvNorm(config, entering, width, 1) for entering in config.widths[:-1])
        self.fpn_convs = nn.ModuleList(ConvNorm(config, width, width, 3) for _ in self.lateral_convs)
        self.fpn_bottleneck = ConvNorm(config, STAGES * width, width, 3)
        self.conv_seg = nn.Conv2d(width, head.classes, 1)

    def forward(self, maps: Maps) -> Tensor:
        """Maps the four feature maps to scores ``[N, classes, H / 4, W / 4]``."""
        laterals = [lateral(x) for lateral, x in zip(self.lateral_convs, maps[:-1], strict=True)]
        laterals.append(self.pool_pyramid(maps[-1]))
        for level in range(STAGES - 1, 0, -1):
            laterals[level - 1] = laterals[level - 1] + _enlarged(laterals[level], 2)
        smooth = [conv(x) for conv, x in zip(self.fpn_convs, laterals[:-1], strict=True)]
        levels = [_enlarged(x, 2**level) if level else x for level, x in enumerate([*smooth, laterals[-1]])]
        return cast(Tensor, self.conv_seg(self.fpn_bottleneck(torch.cat(levels, dim=1))))

    def pool_pyramid(self, last: Tensor) -> Tensor:
        """The last map with what it is on average in ever smaller areas."""
        size = last.shape[2:]
        pooled = [nn.functional.interpolate(pool(last), size, mode="bilinear") for pool in self.psp_modules]
        return cast(Tensor, self.bottleneck(torch.cat([last, *pooled], dim=1)))


class AreaPool(nn.Module):
    """PyTorch's adaptive average pooling to a square, as two products with small matrices.

    Adaptive pooling of sides that the scale does not divide is what runtimes lack; matrices of means serve any size,
    and are constants where the size is one.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[N, C, H, W]`` to ``[N, C, scale, scale]``."""
        height, width = x.shape[2:]
        return torch.matmul(torch.matmul(self.means(height, x), x), self.means(width, x).transpose(0, 1))

    def means(self, side: int, like: Tensor) -> Tensor:
        """``[scale, side]``: row i is the mean from ``floor(i * side / scale)`` to ``ceil((i + 1) * side / scale)``."""
        index = torch.arange(self.scale, device=like.device)[:, None]
        place = torch.arange(side, device=like.device)[None, :]
        first, behind = index * side // self.scale, -((index + 1) * -side // self.scale)
        inside = ((place >= first) & (place < behind)).to(like.dtype)
        return inside / (behind - first).to(like.dtype)


def _enlarged(x: Tensor, factor: int) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)
