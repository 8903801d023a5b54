"""What other programs say of images: each form, what it means in pixels, and what is not certain."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmformer.model.checkpoint import Checkpoint, load_checkpoint
from dmformer.model.foreign import read_foreign, read_options, read_processor
from dmformer.preprocessing import Preprocessing, preprocess
from tests.model.small_models import small_checkpoint, small_config

CONFIG = small_config()
IMAGENET = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}


def processed(**said: Any) -> tuple[Preprocessing | None, frozenset[str]]:
    found = read_processor(json.dumps(said).encode(), CONFIG)
    return found.preprocessing, found.given


def options(**said: Any) -> tuple[Preprocessing | None, frozenset[str]]:
    found = read_options(said, CONFIG)
    return found.preprocessing, found.given


PROCESSORS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a square": ({"size": {"height": 96, "width": 96}}, {"size": (96, 96), "resize": "exact"}),
    "a number": ({"size": 96}, {"size": (96, 96), "resize": "exact"}),
    "a crop": (
        {"size": {"shortest_edge": 110}, "do_center_crop": True, "crop_size": {"height": 96, "width": 96}},
        {"size": (96, 96), "resize": "shorter", "resize_to": 110},
    ),
    "ConvNeXt below 384": (
        {"size": {"shortest_edge": 224}, "crop_pct": 0.875},
        {"size": (224, 224), "resize": "shorter", "resize_to": 256},
    ),
    "ConvNeXt of 384": ({"size": {"shortest_edge": 384}, "crop_pct": 0.875}, {"size": (384, 384), "resize": "exact"}),
    "its values": ({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}, {"mean": (0.5,) * 3, "std": (0.25,) * 3}),
    "no values": ({"do_normalize": False}, {"mean": (0.0,) * 3, "std": (1.0,) * 3, "channel_order": "rgb"}),
    "pixels": (
        {"do_rescale": False, "image_mean": IMAGENET["mean"], "image_std": IMAGENET["std"]},
        {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    ),
    "from -1 to 1": (
        {"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3},
        {"mean": (0.5,) * 3, "std": (0.5,) * 3},
    ),
    "BGR": ({"do_normalize": False, "do_flip_channel_order": True}, {"channel_order": "bgr", "mean": (0.0,) * 3}),
    "a filter": ({"resample": 3}, {"interpolation": "bicubic"}),
}


@pytest.mark.parametrize("form", PROCESSORS)
def test_what_an_image_processor_says(form: str) -> None:
    said, expected = PROCESSORS[form]
    spec, fields = processed(**said)
    assert spec is not None
    assert {name: getattr(spec, name) for name in expected} == expected
    assert expected.keys() <= fields


@pytest.mark.parametrize(
    "said",
    [
        {"size": {"shortest_edge": 224}},
        {"size": {"height": 96, "width": 64}},
        {"size": 100},
        {"do_resize": False, "size": 96},
        {"resample": 4},
        {"image_mean": [0.5] * 3},
        {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_flip_channel_order": True},
        {"rescale_factor": 0, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
        {"image_mean": [0.5], "image_std": [0.5]},
        {"do_center_crop": True, "crop_size": 96, "size": {"height": 128, "width": 128}},
    ],
    ids=str,
)
def test_what_is_not_certain_is_left_open(said: dict[str, Any]) -> None:
    assert processed(**said) == (None, frozenset())


def test_what_a_trainer_says_side_by_side() -> None:
    spec, fields = options(**IMAGENET, img_size=224, crop_pct=0.875, interpolation="bicubic")
    assert spec == Preprocessing(size=(224, 224), resize_to=256, interpolation="bicubic")
    assert fields == {"size", "resize", "resize_to", "interpolation", "mean", "std"}


def test_pixels_are_told_by_mean_and_deviation_together() -> None:
    found = read_options(IMAGENET, CONFIG)
    assert any("from 0 to 255" in remark for remark in found.remarks)
    assert options(mean=IMAGENET["mean"], std=[0.2] * 3) == (None, frozenset())


@pytest.mark.parametrize(("turned", "order"), [(True, "rgb"), (False, "bgr")])
def test_what_mmengine_says_of_the_order(turned: bool, order: str) -> None:
    for said in ({"data_preprocessor": {**IMAGENET, "to_rgb": turned}}, {**IMAGENET, "bgr_to_rgb": turned}):
        spec, fields = options(**said)
        assert spec is not None and spec.channel_order == order and "channel_order" in fields


def test_the_converted_values_give_the_same_tensor() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    spec, _ = processed(**{"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [0.4] * 3}, size=32)
    assert spec is not None
    plain = preprocess(image, spec.model_copy(update={"mean": (0.0,) * 3, "std": (1.0,) * 3}))
    assert np.abs(preprocess(image, spec) - (plain * 2 - 1) / 0.4).max() < 1e-5


def loaded(folder: Path, files: dict[str, Any], content: Any = None) -> Checkpoint:
    for name, document in files.items():
        (folder / name).write_text(json.dumps(document))
    state = dict(small_checkpoint().state)
    if content is not None:
        torch.save({"state_dict": state, **content}, folder / "weights.pt")
        return load_checkpoint(folder / "weights.pt")
    safetensors.torch.save_file(state, folder / "weights.safetensors")
    return load_checkpoint(folder / "weights.safetensors")


def test_the_processor_wins_over_the_configuration(tmp_path: Path) -> None:
    config = {"model_type": "dmformer", "image_size": 64, "id2label": {str(i): f"n{i}" for i in range(5)}}
    processor = {"size": 96, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 3}
    found = loaded(tmp_path, {"config.json": config, "preprocessor_config.json": processor})
    assert found.labels == tuple(f"n{i}" for i in range(5))
    assert found.preprocessing == Preprocessing(
        size=(96, 96), resize="exact", interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
    )
    assert set(found.assumed) == {"resize_to", "channel_order", "fill"}
    (note,) = [note for note in found.notes if note.startswith("preprocessor")]
    assert note.endswith("(taken from it: size, resize, interpolation, mean, std)")


def test_the_trainer_s_options_in_the_file_are_read_and_those_beside_it_win(tmp_path: Path) -> None:
    arguments = argparse.Namespace(mean=[0.4] * 3, std=[0.3] * 3, img_size=64, num_classes=5, lr=1e-3, crop_pct=None)
    found = loaded(tmp_path, {}, {"args": arguments})
    assert (found.preprocessing.mean, found.preprocessing.size) == ((0.4,) * 3, (64, 64))
    assert any(note.startswith("the trainer's options in the file say more") for note in found.notes)
    beside = loaded(tmp_path, {"config.json": {"mean": [0.6] * 3, "std": [0.2] * 3}}, {"args": arguments})
    assert (beside.preprocessing.mean, beside.preprocessing.size) == ((0.6,) * 3, (64, 64))
    other = loaded(tmp_path, {"config.json": {}}, {"args": argparse.Namespace(img_size=96, num_classes=7)})
    assert other.preprocessing.size == (224, 224)


@pytest.mark.parametrize("content", ["{", "[]", "null", '"x"', "[" * 5000, '{"size": {"shortest_edge": true}}'])
def test_a_processor_s_file_that_is_none_stops_nothing(content: str, tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(content)
    found = loaded(tmp_path, {})
    assert any("left aside" in note for note in found.notes if note.startswith("preprocessor"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["height", "width"]), inner),
    max_leaves=6,
)
KEYS = [
    "size", "crop_size", "do_resize", "do_rescale", "do_normalize", "do_center_crop", "do_flip_channel_order",
    "rescale_factor", "image_mean", "image_std", "resample", "crop_pct", "mean", "std", "img_size", "to_rgb",
    "data_preprocessor", "interpolation", "num_classes", "crop_mode", "input_size",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_nothing_stops_reading(document: dict[str, Any]) -> None:
    content = json.dumps(document).encode()
    for found in (read_processor(content, CONFIG), read_foreign(content, CONFIG), read_options(document, CONFIG)):
        assert len(found.note) < 300
