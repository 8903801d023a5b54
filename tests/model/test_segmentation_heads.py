"""Semantic FPN and UPerNet against a plain computation from the same tensors, their inference, folding and counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from dmformer.model.canonical import assert_equal, canonicalize
from dmformer.model.network import DMFormer
from dmformer.model.random_weights import random_checkpoint
from dmformer.model.segmentation_heads import AreaPool
from dmformer.tasks.segmentation_heads import FpnHead, UperNetHead
from tests.model.small_models import images, small_config

State = Mapping[str, Tensor]
HEADS = (FpnHead(classes=3, neck=8, width=6), UperNetHead(classes=3, width=8))


def network(head: FpnHead | UperNetHead) -> DMFormer:
    return random_checkpoint(small_config(head=head), size=32).build().double()


def conv_bn_relu(state: State, name: str, x: Tensor) -> Tensor:
    weight = state[f"{name}.conv.weight"]
    x = functional.conv2d(x, weight, padding=weight.shape[-1] // 2)
    mean, variance, scale, shift = (
        state[f"{name}.bn.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return ((x - mean) / (variance + 1e-5).sqrt() * scale + shift).clamp(min=0)


def biased(state: State, name: str, x: Tensor) -> Tensor:
    weight = state[f"{name}.weight"]
    return functional.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)


def to_size_of(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


def plain_fpn(state: State, maps: tuple[Tensor, ...]) -> Tensor:
    laterals = [biased(state, f"neck.lateral_convs.{i}.conv", x) for i, x in enumerate(maps)]
    for i in (3, 2, 1):
        laterals[i - 1] = laterals[i - 1] + functional.interpolate(laterals[i], laterals[i - 1].shape[2:])
    total = torch.zeros(())
    for i, lateral in enumerate(laterals):
        x = biased(state, f"neck.fpn_convs.{i}.conv", lateral)
        for step in range(max(1, i)):
            x = conv_bn_relu(state, f"scale_heads.{i}.{2 * step}", x)
            if i:
                x = functional.interpolate(x, scale_factor=2, mode="bilinear")
        total = total + x
    return biased(state, "conv_seg", total)


def plain_upernet(state: State, maps: tuple[Tensor, ...]) -> Tensor:
    last = maps[3]
    pooled = [functional.adaptive_avg_pool2d(last, scale) for scale in (1, 2, 3, 6)]
    pooled = [to_size_of(conv_bn_relu(state, f"psp_modules.{i}.1", x), last) for i, x in enumerate(pooled)]
    laterals = [conv_bn_relu(state, f"lateral_convs.{i}", maps[i]) for i in range(3)]
    laterals.append(conv_bn_relu(state, "bottleneck", torch.cat([last, *pooled], 1)))
    for i in (3, 2, 1):
        laterals[i - 1] = laterals[i - 1] + to_size_of(laterals[i], laterals[i - 1])
    levels = [*(conv_bn_relu(state, f"fpn_convs.{i}", laterals[i]) for i in range(3)), laterals[3]]
    joined = torch.cat([to_size_of(x, levels[0]) for x in levels], 1)
    return biased(state, "conv_seg", conv_bn_relu(state, "fpn_bottleneck", joined))


@pytest.mark.parametrize(("head", "plain"), list(zip(HEADS, (plain_fpn, plain_upernet), strict=True)))
def test_a_head_is_what_a_plain_computation_gives(
    head: FpnHead | UperNetHead, plain: Callable[[State, tuple[Tensor, ...]], Tensor]
) -> None:
    model = network(head)
    picture = images(model.config, count=1, dtype=torch.float64)[:, :, :, :32]
    state = {name.removeprefix("head."): value for name, value in model.state_dict().items()}
    scores = model(picture)
    assert scores.shape == (1, 3, 16, 8)
    torch.testing.assert_close(scores, plain(state, model.forward_features(picture)))


@pytest.mark.parametrize("head", HEADS)
def test_all_norms_of_a_head_fold_exactly(head: FpnHead | UperNetHead) -> None:
    model = network(head)
    folded = canonicalize(model)
    assert not any(name.endswith("running_mean") for name in folded.state_dict())
    assert_equal(model, folded, images(model.config, dtype=torch.float64), 1e-12)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("form", [lambda model: model, canonicalize])
def test_a_head_is_inferred_from_shapes(head: FpnHead | UperNetHead, form: Callable[[DMFormer], DMFormer]) -> None:
    model = form(network(head))
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert type(head).from_shapes(shapes) == head
    assert all(other.from_shapes(shapes) is None for other in (FpnHead, UperNetHead) if other is not type(head))


@pytest.mark.parametrize("head", HEADS)
def test_its_layers_are_all_that_it_multiplies(head: FpnHead | UperNetHead) -> None:
    model = canonicalize(network(head))
    with FlopCounterMode(display=False) as counter:
        model.head(model.forward_features(images(model.config, count=1, dtype=torch.float64)))
    counted = counter.get_flop_counts()["SemanticFpn" if head.kind == "fpn" else "UperNet"]
    products = sum(value for kind, value in counted.items() if "convolution" in str(kind)) // 2
    layers = head.layers(model.config.widths, (64, 64))
    assert products == sum(layer.inputs * layer.outputs * layer.kernel**2 * layer.pixels for layer in layers)


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 16), (16, 12)])
@pytest.mark.parametrize("scale", [1, 2, 3, 6])
def test_area_pooling_is_adaptive_average_pooling(size: tuple[int, int], scale: int) -> None:
    x = torch.arange(2.0 * size[0] * size[1]).reshape(1, 2, *size).sin()
    torch.testing.assert_close(AreaPool(scale)(x), functional.adaptive_avg_pool2d(x, scale))
