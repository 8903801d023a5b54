"""What a trainer ends with: a network as a checkpoint, and the named configurations it is made of."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dmformer import Checkpoint, DMFormer, ModelConfig, Preprocessing, load_checkpoint, preset, save_checkpoint
from dmformer.errors import CheckpointError, UsageError
from tests.model.small_models import small_config

SPEC = Preprocessing(size=(32, 64), resize="exact", mean=(0.5,) * 3, std=(0.25,) * 3)


def trained(config: ModelConfig) -> DMFormer:
    torch.manual_seed(1)
    model = DMFormer(config).train()
    model(torch.rand(4, 3, 32, 64))
    return model


def test_a_trained_network_is_saved_and_loads_without_assumptions(tmp_path: Path) -> None:
    model = trained(small_config())
    labels = [f"kind {index}" for index in range(model.config.classes)]
    before = Checkpoint.from_model(model, SPEC, labels, "my net")
    save_checkpoint(before, tmp_path / "best.safetensors")
    after = load_checkpoint(tmp_path / "best.safetensors")
    assert (after.labels, after.preprocessing, after.name, after.notes) == (tuple(labels), SPEC, "my-net", ())
    images = torch.rand(2, 3, 32, 64)
    assert torch.equal(after.build()(images), model.eval()(images))


def test_what_is_trained_on_changes_nothing() -> None:
    model = trained(small_config())
    checkpoint = Checkpoint.from_model(model, SPEC)
    before = checkpoint.state["norm.weight"].clone()
    with torch.no_grad():
        model.norm.weight.add_(1)  # type: ignore[operator]
    assert torch.equal(checkpoint.state["norm.weight"], before)


def test_what_cannot_be_is_refused() -> None:
    model = trained(small_config())
    with pytest.raises(UsageError, match="1 labels for"):
        Checkpoint.from_model(model, SPEC, ["one"])
    with pytest.raises(UsageError, match="1 channels, but the network takes 3"):
        Checkpoint.from_model(model, Preprocessing(size=(32, 32), mean=(0.5,), std=(0.5,), channel_order="grey"))
    with torch.no_grad():
        model.norm.weight.fill_(float("nan"))  # type: ignore[operator]
    with pytest.raises(CheckpointError, match="not finite"):
        Checkpoint.from_model(model, SPEC)


def test_a_preset_tells_any_number_of_classes_apart() -> None:
    assert preset("tiny", classes=5).classes == 5
    assert preset("small") == preset("small", classes=1000)
    with pytest.raises(UsageError, match="'huge'"):
        preset("huge")
    with pytest.raises(UsageError, match="0 classes"):
        preset("tiny", classes=0)
