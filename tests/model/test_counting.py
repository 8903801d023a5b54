"""The counter against a formula written by hand."""

from __future__ import annotations

import pytest

from dmformer.errors import UsageError
from dmformer.model.canonical import canonicalize
from dmformer.model.config import PRESETS, ModelConfig
from dmformer.model.counting import count
from tests.model.small_models import small_checkpoint, small_config


def macs_by_hand(config: ModelConfig, size: int) -> int:
    stem, first = config.stem_width, config.widths[0]
    half, quarter = (size // 2) ** 2, (size // 4) ** 2
    total = half * stem * (49 * config.in_channels + 9 * stem) + quarter * 4 * stem * first
    for stage, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
        pixels, inner = (size // 4 // 2**stage) ** 2, config.expansion * width
        levels = inner * sum(kernel**2 for kernel in config.kernels)
        dense = 2 * width * inner + 2 * width * config.ffn_width(stage)
        total += depth * (pixels * (levels + dense) + 2 * width * config.gate_width(stage))
        if stage:
            total += pixels * 4 * config.widths[stage - 1] * width
    return total + config.widths[-1] * config.classes


@pytest.mark.parametrize("config", [small_config(expansion=3, in_channels=1), PRESETS["small"]], ids=["odd", "small"])
def test_macs_equal_the_formula(config: ModelConfig) -> None:
    assert count(config, 96).macs == macs_by_hand(config, 96)


def test_the_parts_add_up() -> None:
    found = count(PRESETS["large"], 224)
    assert sum(part.macs for part in found.per_part) == found.macs
    assert sum(part.parameters for part in found.per_part) == found.parameters
    assert all(part.parameters for part in found.per_part)


def test_a_network_is_counted_as_it_is() -> None:
    model = small_checkpoint().build()
    assert count(model, (64, 32)).parameters == sum(parameter.numel() for parameter in model.parameters())
    folded = count(canonicalize(model), (64, 32))
    assert {part.name: part.parameters for part in folded.per_part}["norms and scales"] == 0
    assert folded.macs == count(model, (64, 32)).macs


def test_an_impossible_size_is_refused() -> None:
    with pytest.raises(UsageError, match="divisible by 32"):
        count(PRESETS["tiny"], 225)
    with pytest.raises(UsageError, match="too large"):
        count(PRESETS["tiny"], 32_000_000_000)
