"""Small networks for this room's tests, and the strategy that draws more of them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from dmformer.model.checkpoint import Checkpoint
from dmformer.model.config import ModelConfig
from dmformer.model.random_weights import random_checkpoint
from dmformer.tasks.classification import LinearHead

State = dict[str, Tensor]


def small_config(**changes: object) -> ModelConfig:
    values: dict[str, object] = {
        "widths": (8, 12, 16, 20),
        "depths": (1, 2, 1, 1),
        "ffn_ratios": (2, 3, 2, 1.5),
        "stem_width": 6,
        "head": LinearHead(classes=5),
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
        head=LinearHead(classes=draw(st.integers(1, 7))),
        norm=draw(st.sampled_from(["batch", "none"])),
        layer_scale=draw(st.booleans()),
        stage_norms=draw(st.sampled_from([(), ("stem",), ("before", "after"), ("stem", "before", "after")])),
        conv_bias=draw(st.sampled_from([(), ("stem",), ("levels",), ("stem", "levels")])),
    )


def nested(state: State, other: State) -> dict[str, Any]:
    """What trainers save, by form: ``state`` is what is meant, ``other`` is what is passed over."""
    return {
        "bare": state,
        "ordered": OrderedDict(state),
        "state_dict": {"state_dict": state, "epoch": 3, "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}}},
        "model": {"model": state, "loss": torch.tensor(0.5)},
        "module": {"module": state},
        "params": {"params": state, "ema": None},
        "deep": {"model": {"state_dict": state}},
        "surplus": {**state, "epoch": 4, "arch": "dmformer"},
        "ddp": {f"module.{name}": value for name, value in state.items()},
        "compiled": {"model": {f"module._orig_mod.{name}": value for name, value in state.items()}},
        "lightning": {"state_dict": {f"model.backbone.{name}": value for name, value in state.items()}},
        "ema": {"model": other, "ema": {"module": state, "decay": 0.99}},
        "model_ema": {"state_dict": other, "model_ema": state},
        "state_dict_ema": {"state_dict": other, "state_dict_ema": state},
        "averaged": {"n_averaged": torch.tensor(3), **{f"module.{name}": value for name, value in state.items()}},
    }
