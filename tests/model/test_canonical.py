"""Folding is exact: each fold alone, all together, on every configuration."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dmformer.errors import ExportError
from dmformer.model import canonical
from dmformer.model.canonical import assert_equal, blocks, canonicalize
from dmformer.model.config import ModelConfig
from dmformer.model.layers import Block, LayerScale
from dmformer.model.network import DMFormer
from dmformer.model.random_weights import random_checkpoint
from tests.model.small_models import configs, images, small_checkpoint, small_config


def each_block(fold: Callable[[Block], None]) -> Callable[[DMFormer], None]:
    def apply(model: DMFormer) -> None:
        for block in blocks(model):
            fold(block)

    return apply


FOLDS: dict[str, Callable[[DMFormer], None]] = {
    "stem": lambda model: canonical.fold_stem(model.stem),
    "norm before DMA": each_block(canonical.fold_norm_before_dma),
    "norm of levels": each_block(canonical.fold_norm_of_levels),
    "norm before FFN": each_block(canonical.fold_norm_before_ffn),
    "layer scales": each_block(canonical.fold_layer_scales),
    "final norm": canonical.fold_final_norm,
}


def count_foldable(model: DMFormer) -> int:
    return sum(isinstance(module, (nn.BatchNorm2d, LayerScale)) for module in model.modules())


@pytest.mark.parametrize("name", FOLDS)
def test_each_fold_alone_is_exact(name: str) -> None:
    model = small_checkpoint(kernels=(3, 5), dilations=(1, 3)).build().double()
    folded = copy.deepcopy(model)
    FOLDS[name](folded)
    assert count_foldable(folded) < count_foldable(model)
    assert_equal(model, folded, images(model.config, dtype=torch.float64), 1e-12)


@settings(max_examples=12, deadline=None)
@given(configs(), st.integers(0, 1000))
def test_all_folds_together_are_exact_in_float64(config: ModelConfig, seed: int) -> None:
    model = random_checkpoint(config, seed=seed, size=32).build().double()
    folded = canonicalize(model)
    assert folded.config == config.canonical()
    assert count_foldable(folded) == 0
    assert_equal(model, folded, images(config, size=32, dtype=torch.float64), 1e-9)


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_in_float32_only_rounding_is_left(preset: str) -> None:
    model = random_checkpoint(preset).build()
    folded = canonicalize(model)
    assert folded.head.weight.dtype == torch.float32
    assert_equal(model, folded, images(model.config, count=1), 1e-5)


def test_the_reference_is_not_changed_and_the_result_is_ready_for_inference() -> None:
    model = small_checkpoint().build().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = canonicalize(model)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not folded.training
    assert not any(parameter.requires_grad for parameter in folded.parameters())


def test_a_canonical_network_passes_through() -> None:
    folded = canonicalize(small_checkpoint().build())
    assert canonicalize(folded) is folded


def test_a_difference_is_measured_and_refused() -> None:
    model = small_checkpoint().build()
    folded = canonicalize(model)
    folded.get_parameter("head.bias").add_(0.5)
    with pytest.raises(ExportError, match=r"differs from the reference by \d"):
        assert_equal(model, folded, images(model.config), 1e-5)


def test_weights_that_overflow_when_folded_are_named() -> None:
    checkpoint = random_checkpoint(small_config(), size=32)
    checkpoint.state["norm.weight"].fill_(3e38)
    checkpoint.state["head.weight"].fill_(1e3)
    with pytest.raises(ExportError, match=r"head\.weight: not finite"):
        canonicalize(checkpoint.build())


@pytest.mark.parametrize("zeros", [("head.weight", "head.bias"), ("head.weight",), ("norm.weight", "norm.bias")])
def test_a_head_of_zeros_is_equal_to_itself_folded(zeros: tuple[str, ...]) -> None:
    model = small_checkpoint().build()
    for name in zeros:
        model.get_parameter(name).zero_()
    folded = canonicalize(model)
    assert assert_equal(model, folded, images(model.config), 1e-4) <= 1e-4
    other = copy.deepcopy(folded)
    other.get_parameter("head.bias").add_(1)
    with pytest.raises(ExportError, match="differs"):
        assert_equal(model, other, images(model.config), 1e-4)
