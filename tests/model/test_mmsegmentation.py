"""Checkpoints as mmsegmentation writes them: its names, its second head, its classes and colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dmformer.errors import CheckpointError, UsageError
from dmformer.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dmformer.model.config import preset
from dmformer.model.counting import count
from dmformer.model.random_weights import random_checkpoint
from dmformer.tasks.segmentation_heads import FpnHead, UperNetHead
from tests.model.small_models import State, images, small_config

FPN, UPERNET = FpnHead(classes=3, neck=8, width=6), UperNetHead(classes=3, width=8)
NAMES, PALETTE = ("wall", "building", "sky"), ((120, 120, 120), (180, 120, 120), (6, 230, 230))


def original(head: FpnHead | UperNetHead) -> Checkpoint:
    return random_checkpoint(small_config(head=head), size=32)


def theirs(state: State) -> State:
    """The names that mmsegmentation gives the parts of a segmenter."""
    named = {}
    for name, value in state.items():
        part, _, rest = name.partition(".")
        if part != "head":
            named[f"backbone.{name}"] = value
        else:
            named[rest if rest.startswith("neck.") else f"decode_head.{rest}"] = value
    return named


def saved(folder: Path, state: State, **said: Any) -> Path:
    torch.save({"state_dict": state, **said}, folder / "iter_160000.pth")
    return folder / "iter_160000.pth"


@pytest.mark.parametrize("head", [FPN, UPERNET])
def test_the_names_are_understood_and_the_form_is_inferred(head: FpnHead | UperNetHead, tmp_path: Path) -> None:
    checkpoint = original(head)
    found = load_checkpoint(saved(tmp_path, theirs(dict(checkpoint.state))))
    assert found.config.head == head
    assert found.preprocessing.resize == "letterbox"
    batch = images(found.config, size=32)
    assert torch.equal(found.build()(batch), checkpoint.build()(batch))


@pytest.mark.parametrize(
    "said",
    [
        {"meta": {"CLASSES": NAMES, "PALETTE": [list(colour) for colour in PALETTE]}},
        {"meta": {"dataset_meta": {"classes": NAMES, "palette": PALETTE}, "epoch": 3}},
        {"dataset_meta": {"classes": list(NAMES), "palette": PALETTE}},
    ],
)
def test_classes_and_colours_are_taken_and_kept(said: dict[str, Any], tmp_path: Path) -> None:
    found = load_checkpoint(saved(tmp_path, theirs(dict(original(FPN).state)), **said))
    assert (found.labels, found.palette) == (NAMES, PALETTE)
    save_checkpoint(found, tmp_path / "own.safetensors")
    own = load_checkpoint(tmp_path / "own.safetensors")
    assert (own.labels, own.palette, own.config) == (NAMES, PALETTE, found.config)


@pytest.mark.parametrize(
    "palette", [5, "red", [[1, 2]] * 3, [[1, 2, 256]] * 3, [[1.5, 2, 3]] * 3, [[True, 0, 0]] * 3, [[1, 2, 3]] * 4, []]
)
def test_what_is_no_palette_of_the_classes_is_left_aside(palette: Any, tmp_path: Path) -> None:
    path = saved(tmp_path, theirs(dict(original(FPN).state)), meta={"PALETTE": palette})
    assert load_checkpoint(path).palette is None


def test_the_head_of_training_is_ignored_and_said(tmp_path: Path) -> None:
    state = theirs(dict(original(FPN).state))
    state |= {f"auxiliary_head.{name}": torch.ones(3) for name in ("conv_seg.bias", "convs.0.bn.weight")}
    found = load_checkpoint(saved(tmp_path, state))
    assert not any("auxiliary" in name for name in found.state)
    assert "2 tensors are left out: of an auxiliary head ('auxiliary_head')" in found.notes


def test_a_head_whose_channels_do_not_fit_the_backbone_is_named(tmp_path: Path) -> None:
    state = theirs(dict(original(FPN).state))
    state["neck.lateral_convs.3.conv.weight"] = torch.zeros(8, 21, 1, 1)
    with pytest.raises(CheckpointError, match=r"misshapen head\.neck\.lateral_convs\.3\.conv\.weight"):
        load_checkpoint(saved(tmp_path, state))


def test_classes_that_would_need_code_are_not_unpickled(tmp_path: Path) -> None:
    path = saved(tmp_path, theirs(dict(original(FPN).state)), meta={"CLASSES": Path("code")})
    with pytest.raises(CheckpointError, match="only tensors are read"):
        load_checkpoint(path)


def test_another_number_of_colours_than_of_classes_is_refused() -> None:
    checkpoint = original(FPN)
    with pytest.raises(UsageError, match="2 colours for 3 classes"):
        Checkpoint.from_model(checkpoint.build(), checkpoint.preprocessing, NAMES, palette=PALETTE[:2])


@pytest.mark.parametrize("kind", ["fpn", "upernet"])
@pytest.mark.parametrize("name", ["tiny", "small", "large"])
def test_presets_have_both_heads(name: str, kind: str) -> None:
    config = preset(name, classes=11, head=kind)
    assert config.head.kind == kind
    assert config.classes == 11
    assert config.widths == preset(name).widths
    assert preset(name, head=kind).classes == 150


def test_the_paper_s_heads_have_the_usual_channels_and_a_narrow_backbone_few() -> None:
    assert preset("small", head="fpn").head == FpnHead(classes=150, neck=256, width=128)
    assert preset("large", head="upernet").head == UperNetHead(classes=150, width=512)
    assert count(preset("tiny", classes=11, head="fpn"), 128).parameters < 3_000_000
    with pytest.raises(UsageError, match="no head 'mask'"):
        preset("tiny", head="mask")
