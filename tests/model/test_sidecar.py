"""`config.json` beside weights: another program's never stops loading, ours is refused where it is damaged."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmformer.errors import CheckpointError
from dmformer.model.checkpoint import Checkpoint, load_checkpoint
from dmformer.model.foreign import read_foreign
from dmformer.model.sidecar import is_ours
from dmformer.preprocessing import Preprocessing
from tests.model.small_models import small_checkpoint, small_config

NAMES = ["cat", "dog", "é", "d d", "e"]
ID2LABEL = {str(index): name for index, name in enumerate(NAMES)}
TIMM: dict[str, Any] = {
    "architecture": "dmformer_tiny",
    "num_classes": 5,
    "pretrained_cfg": {
        "input_size": [3, 96, 96],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "crop_mode": "center",
    },
    "label_names": NAMES,
}
FOREIGN: dict[str, Any] = {
    "transformers": {"architectures": ["ResNet"], "model_type": "resnet", "depths": [3, 4, 6, 3], "id2label": ID2LABEL},
    "timm": TIMM | {"architecture": "resnet50"},
    "hydra": {"model": "resnet50", "name": "run 3", "labels": 5},
    "mmcv": {"model": {"type": "ImageClassifier", "depths": [1], "name": "x"}, "dataset": {"labels": []}},
    "another with widths": {"model_type": "x", "hidden": 1, "heads": 2, "mlp": 3, "widths": [1, 2], "act": "gelu"},
    "another with labels": {"labels": ["a"], "image_size": 3, "task": "classify"},
    "another with sizes": {"preprocessing": {"size": 224}, "task": "classify"},
    "nothing": {},
    "null": None,
}


def weights(folder: Path) -> Path:
    safetensors.torch.save_file(dict(small_checkpoint().state), folder / "weights.safetensors")
    return folder / "weights.safetensors"


def loaded(document: object, folder: Path, **given: Any) -> Checkpoint:
    (folder / "config.json").write_text(json.dumps(document))
    return load_checkpoint(weights(folder), **given)


def said(found: Checkpoint) -> str:
    (note,) = [note for note in found.notes if note.startswith("config.json")]
    assert len(note) < 200
    return note


@pytest.mark.parametrize("form", FOREIGN)
def test_another_programs_file_is_left_aside_and_said(form: str, tmp_path: Path) -> None:
    found = loaded(FOREIGN[form], tmp_path)
    assert "left aside" in said(found)
    assert (found.labels, found.preprocessing) == (None, Preprocessing(size=(224, 224)))


@pytest.mark.parametrize("kind", ["noise", "huge", "FIFO", "folder", "link to nothing", "link to itself"])
def test_what_is_no_document_is_left_aside(kind: str, tmp_path: Path) -> None:
    path = weights(tmp_path)
    sidecar = tmp_path / "config.json"
    makers: dict[str, Callable[[], object]] = {
        "noise": lambda: sidecar.write_bytes(bytes(range(256))),
        "huge": lambda: sidecar.write_bytes(b" " * (2**20 + 1)),
        "FIFO": lambda: os.mkfifo(sidecar),
        "folder": sidecar.mkdir,
        "link to nothing": lambda: sidecar.symlink_to("absent"),
        "link to itself": lambda: sidecar.symlink_to(sidecar),
    }
    makers[kind]()
    found = load_checkpoint(path)
    assert kind == "link to nothing" or "left aside" in said(found)


@pytest.mark.parametrize("form", ["now", "before"])
def test_labels_and_images_of_timm_are_taken(form: str, tmp_path: Path) -> None:
    flat = {key: value for key, value in TIMM.items() if key != "pretrained_cfg"} | TIMM["pretrained_cfg"]
    found = loaded(TIMM if form == "now" else flat, tmp_path)
    assert found.labels == tuple(NAMES)
    assert found.preprocessing == Preprocessing(
        size=(96, 96), resize_to=106, interpolation="bicubic", mean=(0.5,) * 3, std=(0.25,) * 3
    )
    assert "taken from it: labels, size" in said(found)
    assert not any("preprocessing" in note for note in found.notes)


def test_labels_and_size_of_transformers_are_taken(tmp_path: Path) -> None:
    document = {"model_type": "dmformer", "image_size": 64, "id2label": ID2LABEL, "hidden_sizes": [1]}
    found = loaded(document, tmp_path)
    assert (found.labels, found.preprocessing) == (tuple(NAMES), Preprocessing(size=(64, 64)))
    assert "size" not in found.assumed
    assert "mean" in found.assumed
    given = loaded(document, tmp_path, labels=list("abcde"), preprocessing=Preprocessing(size=(32, 32)))
    assert (given.labels, given.preprocessing.size) == (tuple("abcde"), (32, 32))
    assert "left aside" in said(given)


@pytest.mark.parametrize("given", [True, False])
def test_what_the_user_gives_is_no_other_programs(given: bool, tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}')
    own = Preprocessing(size=(32, 32), resize="exact")
    found = loaded(None, tmp_path, **({"preprocessing": own} if given else {}))
    assert found.preprocessing.mean == (own.mean if given else (0.5,) * 3)
    (note,) = [note for note in found.notes if note.startswith("preprocessor_config.json")]
    assert ("left aside" in note) == given


@pytest.mark.parametrize(
    "labels",
    [{}, {"0": "a"}, {str(index): f"LABEL_{index}" for index in range(5)}, ID2LABEL | {"1": "\x1b[2J"}, [1], "abcde"],
    ids=str,
)
def test_labels_that_are_none_are_not_taken(labels: object) -> None:
    assert read_foreign(json.dumps({"id2label": labels}).encode(), small_config()).labels is None


@pytest.mark.parametrize(
    "change",
    [{"input_size": [3, 100, 100]}, {"input_size": [1, 96, 96]}, {"crop_mode": "squash"}, {"crop_pct": None},
     {"crop_pct": 1e400}, {"mean": [123, 116, 103]}, {"std": 0}, {"input_size": 7}],
    ids=str,
)  # fmt: skip
def test_images_that_are_not_plain_are_not_taken(change: dict[str, Any]) -> None:
    document = TIMM | {"pretrained_cfg": TIMM["pretrained_cfg"] | change}
    found = read_foreign(json.dumps(document).encode(), small_config())
    assert found.preprocessing is None
    assert found.labels == tuple(NAMES)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "id2label",
        "label_names",
        "pretrained_cfg",
        "image_size",
        "num_classes",
        "architecture",
        "model",
        "name",
        "depths",
    ]
)
CROPS = st.dictionaries(st.sampled_from(sorted(TIMM["pretrained_cfg"])), VALUES)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(KEYS, VALUES)
    | st.builds(lambda part: TIMM | {"pretrained_cfg": TIMM["pretrained_cfg"] | part}, CROPS)
)
def test_nothing_of_another_program_stops_reading(document: dict[str, Any]) -> None:
    content = json.dumps(document).encode()
    assert not is_ours(content)
    assert len(read_foreign(content, small_config()).note) < 200


@pytest.mark.parametrize("cut", [0.5, 0.7, 0.95])
@pytest.mark.parametrize("wrapped", [True, False])
def test_ours_is_refused_where_it_is_torn(cut: float, wrapped: bool, tmp_path: Path) -> None:
    bare = json.dumps(small_config().model_dump(mode="json"), sort_keys=True)
    whole = f'{{"model": {bare}}}' if wrapped else bare
    (tmp_path / "config.json").write_text(whole[: round(cut * len(whole))])
    with pytest.raises(CheckpointError, match=r"config\.json: not readable"):
        load_checkpoint(weights(tmp_path))


@pytest.mark.parametrize("change", [{"surprise": 1}, {"dilations": [0, 1, 2]}, {"widths": None}, {"num_classes": 7}])
@pytest.mark.parametrize("wrapped", [True, False])
def test_ours_is_refused_where_it_contradicts(change: dict[str, Any], wrapped: bool, tmp_path: Path) -> None:
    document = small_config().model_dump(mode="json") | change
    with pytest.raises(CheckpointError, match=rf"{next(iter(change))}|head\.weight"):
        loaded({"model": document} if wrapped else document, tmp_path)
