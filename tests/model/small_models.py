"""Small networks for this room's tests, and the strategy that draws more of them."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

from dmformer.model.checkpoint import Checkpoint, random_checkpoint
from dmformer.model.config import ModelConfig


def small_config(**changes: object) -> ModelConfig:
    values: dict[str, object] = {
        "widths": (8, 12, 16, 20),
        "depths": (1, 2, 1, 1),
        "ffn_ratios": (2, 3, 2, 1.5),
        "stem_width": 6,
        "num_classes": 5,
    }
    return ModelConfig.model_validate(values | changes)


def small_checkpoint(seed: int = 0, **changes: object) -> Checkpoint:
    return random_checkpoint(small_config(**changes), seed=seed, size=32)


def images(config: ModelConfig, size: int = 64, count: int = 2, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(count, config.in_channels, size, size, generator=generator, dtype=dtype)


@st.composite
def configs(draw: st.DrawFn) -> ModelConfig:
    """Configurations of every shape and form, small enough to compute."""
    levels = draw(st.integers(1, 4))
    return ModelConfig(
        widths=draw(st.tuples(*[st.integers(1, 12)] * 4)),
        depths=draw(st.tuples(*[st.integers(1, 2)] * 4)),
        expansion=draw(st.integers(1, 3)),
        ffn_ratios=draw(st.tuples(*[st.sampled_from([0.5, 1.0, 1.3, 2.0, 4.0])] * 4)),
        gate_reduction=draw(st.integers(1, 5)),
        kernels=tuple(draw(st.lists(st.sampled_from([1, 3, 5, 7]), min_size=levels, max_size=levels))),
        dilations=tuple(draw(st.lists(st.integers(1, 3), min_size=levels, max_size=levels))),
        stem_width=draw(st.integers(1, 8)),
        in_channels=draw(st.sampled_from([1, 3])),
        num_classes=draw(st.integers(1, 7)),
        norm=draw(st.sampled_from(["batch", "none"])),
        layer_scale=draw(st.booleans()),
    )
