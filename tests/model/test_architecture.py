"""The network's shapes, and what a configuration refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from dmformer.errors import UsageError
from dmformer.model.config import PRESETS
from dmformer.model.layers import DMA
from dmformer.model.network import DMFormer
from dmformer.model.random_weights import random_checkpoint
from tests.model.small_models import images, small_checkpoint, small_config

ODD_ONES: list[dict[str, Any]] = [
    {},
    {"expansion": 3},
    {"kernels": (3, 5, 7, 9), "dilations": (1, 2, 3, 4)},
    {"kernels": (1,), "dilations": (1,)},
    {"in_channels": 1},
    {"norm": "none"},
    {"layer_scale": False},
]


@pytest.mark.parametrize("changes", ODD_ONES, ids=str)
def test_the_four_maps_have_strides_4_to_32(changes: dict[str, Any]) -> None:
    config = small_config(**changes)
    model = DMFormer(config).eval()
    with torch.inference_mode():
        maps = model.forward_features(images(config, size=96))
        logits = model(images(config, size=96))
    assert [tuple(found.shape) for found in maps] == [
        (2, width, 96 // stride, 96 // stride) for width, stride in zip(config.widths, (4, 8, 16, 32), strict=True)
    ]
    assert logits.shape == (2, config.classes)


def test_the_levels_see_the_same_input_and_are_summed() -> None:
    dma = DMA(small_config(), 0).eval()
    x = torch.randn(1, 16, 20, 20)
    expected = torch.stack([level(x) for level in dma.levels]).sum(0)
    torch.testing.assert_close(dma.sum_levels(x), expected)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"dilations": (1, 2)}, "one dilation for each kernel"),
        ({"kernels": (3, 4, 7)}, "must be odd"),
        ({"widths": (8, 8, 8)}, "widths"),
        ({"widths": (0, 8, 8, 8)}, "widths"),
        ({"depths": (1, 1, 1, 0)}, "depths"),
        ({"ffn_ratios": (1, 1, 1, float("nan"))}, "ffn_ratios"),
        ({"norm": "layer"}, "norm"),
        ({"surprise": 1}, "surprise"),
    ],
    ids=str,
)
def test_a_configuration_refuses_the_impossible(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        small_config(**changes)


@pytest.mark.parametrize("preset", ["tiny", "small", "large"])
def test_random_weights_keep_activations_in_range(preset: str) -> None:
    checkpoint = random_checkpoint(preset, size=64)
    with torch.inference_mode():
        model = checkpoint.build()
        maps = model.forward_features(images(checkpoint.config, count=1))
        logits = model(images(checkpoint.config, count=1))
    assert all(0.05 < float(found.std()) < 20 for found in (*maps, logits))


def test_random_weights_are_seeded() -> None:
    assert small_checkpoint(3).digest == small_checkpoint(3).digest != small_checkpoint(4).digest


def test_building_leaves_the_checkpoint_alone_and_is_ready_for_inference() -> None:
    checkpoint = small_checkpoint()
    before = checkpoint.state["head.bias"].clone()
    model = checkpoint.build()
    model.get_parameter("head.bias").add_(1)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(checkpoint.state["head.bias"], before)


def test_random_weights_need_a_known_preset_and_a_possible_size() -> None:
    with pytest.raises(UsageError, match="huge") as caught:
        random_checkpoint("huge")
    assert caught.value.hint
    assert all(preset in caught.value.hint for preset in PRESETS)
    with pytest.raises(UsageError, match="divisible by 32"):
        random_checkpoint("tiny", size=100)
    with pytest.raises(UsageError, match="4 channels"):
        random_checkpoint(small_config(in_channels=4))
