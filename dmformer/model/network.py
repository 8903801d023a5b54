"""The whole network: stem, four stages, the four feature maps, and a head."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from dmformer.model.config import STAGES, ModelConfig
from dmformer.model.heads import Maps, make_head
from dmformer.model.layers import Block, make_norm


class Stem(nn.Module):
    """7x7 convolution stride 2, 3x3 stride 1, then a non-overlapping 2x2 stride 2: stride 4 in all
    (paper, section 3.1). BatchNorm and ReLU behind the first two are this project's choice.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        # A convolution in front of BatchNorm needs no bias of its own; the folded one does.
        bias = config.norm == "none" or "stem" in config.conv_bias
        self.conv1 = nn.Conv2d(config.in_channels, config.stem_width, 7, stride=2, padding=3, bias=bias)
        self.norm1 = make_norm(config, config.stem_width)
        self.conv2 = nn.Conv2d(config.stem_width, config.stem_width, 3, padding=1, bias=bias)
        self.norm2 = make_norm(config, config.stem_width)
        self.conv3 = nn.Conv2d(config.stem_width, config.widths[0], 2, stride=2)
        self.norm3 = make_norm(config, config.widths[0], "stem" in config.stage_norms)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[N, in_channels, H, W]`` to ``[N, widths[0], H / 4, W / 4]``."""
        x = torch.relu(self.norm1(self.conv1(x)))
        x = torch.relu(self.norm2(self.conv2(x)))
        return cast(Tensor, self.norm3(self.conv3(x)))


class DMFormer(nn.Module):
    """Hierarchical network of `Block`s at strides 4, 8, 16 and 32 with a head.

    Between stages a non-overlapping 2x2 convolution of stride 2 halves the resolution (that it is
    a strided convolution is the paper's, its form this project's choice).

    Args:
        config: The network's complete description.

    Examples:
        >>> import dmformer
        >>> import torch
        >>> network = dmformer.DMFormer(dmformer.preset("tiny", classes=5)).eval()
        >>> network(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 5])
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = Stem(config)
        self.downsamples = nn.ModuleList(
            nn.Conv2d(config.widths[stage], config.widths[stage + 1], 2, stride=2) for stage in range(STAGES - 1)
        )
        self.norms_before, self.norms_after = (
            nn.ModuleList(make_norm(config, width, place in config.stage_norms) for width in widths)
            for place, widths in (("before", config.widths[:-1]), ("after", config.widths[1:]))
        )
        self.stages = nn.ModuleList(
            nn.ModuleList(Block(config, stage) for _ in range(config.depths[stage])) for stage in range(STAGES)
        )
        head = make_head(config)
        self.norm = make_norm(config, config.widths[-1]) if head.norm_readers else nn.Identity()
        self.head = head

    def forward_features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four feature maps for dense tasks, before the final norm and those between stages.

        Args:
            x: Images ``[N, in_channels, H, W]``, H and W divisible by 32.

        Returns:
            Maps ``[N, widths[i], H / s, W / s]`` for the strides s = 4, 8, 16, 32.
        """
        maps: list[Tensor] = []
        x = self.stem(x)
        for index, stage in enumerate(self.stages):
            if index:
                opened = self.downsamples[index - 1](self.norms_before[index - 1](x))
                x = self.norms_after[index - 1](opened)
            for block in cast(nn.ModuleList, stage):
                x = block(x)
            maps.append(x)
        return maps[0], maps[1], maps[2], maps[3]

    def forward(self, x: Tensor) -> Tensor | Maps:
        """Maps images ``[N, in_channels, H, W]`` to what the head gives."""
        first, second, third, last = self.forward_features(x)
        return cast("Tensor | Maps", self.head((first, second, third, self.norm(last))))

    def answer(self, x: Tensor) -> Tensor:
        """What `forward` gives in one tensor ``[N, ...]``; of several the values of each image in a row."""
        given = self(x)
        return given if isinstance(given, Tensor) else torch.cat([one.flatten(1) for one in given], 1)
