"""Heads: from the four feature maps to a task's outputs."""

from __future__ import annotations

from abc import abstractmethod
from importlib import import_module

import torch
from torch import Tensor, nn

from dmformer.model.config import ModelConfig
from dmformer.model.layers import make_norm

Maps = tuple[Tensor, Tensor, Tensor, Tensor]
"""``[N, widths[i], H / s, W / s]`` for the strides s = 4, 8, 16, 32."""


class HeadNetwork(nn.Module):
    """What stands on the backbone; made with the `ModelConfig`."""

    @abstractmethod
    def forward(self, maps: Maps) -> Tensor | Maps:
        """Maps the four feature maps to outputs ``[N, ...]``."""

    @property
    def norm_readers(self) -> tuple[nn.Conv2d | nn.Linear, ...]:
        """The linear layers that read the last map, which is behind the network's final norm then.

        All of its readers are named, up to global pooling, so that the norm can be folded into them; none for a head
        that takes the last stage as it is.
        """
        return ()


class ConvNorm(nn.Module):
    """Convolution, BatchNorm and ReLU, with the names of mmsegmentation's ``ConvModule``."""

    def __init__(self, config: ModelConfig, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        # BatchNorm brings the only shift; without it the convolution does.
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=config.norm == "none")
        self.bn = make_norm(config, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[N, inputs, H, W]`` to ``[N, outputs, H, W]``."""
        return torch.relu(self.bn(self.conv(x)))


class LinearClassifier(nn.Linear, HeadNetwork):
    """Global average pooling and a linear layer, behind the final norm (paper, section 3.1)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.widths[-1], config.classes)

    def forward(self, maps: Maps) -> Tensor:  # type: ignore[override] # a Linear by its weights, a head by its input
        """Maps the last of the maps to logits ``[N, num_classes]``."""
        return super().forward(maps[-1].mean((2, 3)))

    @property
    def norm_readers(self) -> tuple[nn.Linear]:
        return (self,)


class Features(HeadNetwork):
    """The four feature maps as they are."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()

    def forward(self, maps: Maps) -> Maps:
        """Gives what it gets."""
        return maps


def make_head(config: ModelConfig) -> HeadNetwork:
    """The network of a configuration's head."""
    module, _, name = config.head.network.partition(":")
    head: HeadNetwork = getattr(import_module(module), name)(config)
    return head
