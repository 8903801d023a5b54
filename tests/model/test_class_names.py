"""Names of classes that trainers write beside weights are taken where they are plain and as many as the classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from PIL import Image

from dmformer.data.folders import open_folder
from dmformer.model.checkpoint import Checkpoint, load_checkpoint
from dmformer.pipeline.sources import open_sources
from tests.model.small_models import small_checkpoint

NAMES = ("cat", "dog", "é", "d d", "e")
BY_INDEX = dict(enumerate(NAMES))
TAKEN: dict[str, dict[str, Any]] = {
    "a list": {"names": list(NAMES)},
    "by index": {"names": BY_INDEX},
    "by index as text": {"class_names": {str(index): name for index, name in BY_INDEX.items()}},
    "to index": {"class_to_idx": {name: index for index, name in BY_INDEX.items()}},
    "args": {"args": {"lr": 0.1, "classes": NAMES}},
    "MMEngine": {"meta": {"dataset_meta": {"classes": NAMES}}},
    "a number beside": {"classes": 5, "names": NAMES},
}
LEFT: dict[str, Any] = {
    "a number": 5,
    "nothing": None,
    "a text": "cat dog",
    "numbers": [1, 2, 3, 4, 5],
    "holes": {0: "a", 2: "b"},
    "controls": ["a", "b", "\x1b[2J", "d", "e"],
    "empty": ["a", "", "c", "d", "e"],
    "nested": [["a"]] * 5,
}


def saved(said: dict[str, Any], folder: Path) -> Path:
    torch.save({"state_dict": dict(small_checkpoint().state), **said}, folder / "best.pt")
    return folder / "best.pt"


def notes_on_names(found: Checkpoint) -> list[str]:
    return [note for note in found.notes if "classes" in note and "file" in note]


@pytest.mark.parametrize("case", TAKEN)
def test_names_in_a_file_are_taken_and_said(case: str, tmp_path: Path) -> None:
    found = load_checkpoint(saved(TAKEN[case], tmp_path))
    assert found.labels == NAMES
    (note,) = notes_on_names(found)
    assert note.startswith("the classes' names are those under") and "'cat', 'dog'" in note


@pytest.mark.parametrize("case", LEFT)
def test_what_are_no_names_is_left_aside(case: str, tmp_path: Path) -> None:
    found = load_checkpoint(saved({"names": LEFT[case]}, tmp_path))
    assert (found.labels, notes_on_names(found)) == (None, [])


def test_another_number_of_names_is_said_and_no_error(tmp_path: Path) -> None:
    found = load_checkpoint(saved({"names": ["a"] * 80, "args": {"class_names": NAMES}}, tmp_path))
    assert found.labels == NAMES, "those that fit are found behind those that do not"
    found = load_checkpoint(saved({"names": ["a"] * 80}, tmp_path))
    assert found.labels is None
    assert notes_on_names(found) == ["'names' in the file names 80 classes and the network has 5: not used"]


@pytest.mark.parametrize("value", [json.dumps(NAMES), json.dumps(BY_INDEX), "[" * 10_000, "cat"])
def test_metadata_of_safetensors_hold_them_as_json(value: str, tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    safetensors.torch.save_file(dict(small_checkpoint().state), path, {"names": value})
    assert load_checkpoint(path).labels == (NAMES if value[0] + value[1] in ('["', '{"') else None)


def test_what_the_user_gives_and_what_we_wrote_come_first(tmp_path: Path) -> None:
    path, own = saved({"names": NAMES}, tmp_path), ("1", "2", "3", "4", "5")
    found = load_checkpoint(path, labels=own)
    assert (found.labels, notes_on_names(found)) == (own, [])
    (tmp_path / "config.json").write_text(json.dumps({"label_names": own}))
    assert load_checkpoint(path).labels == NAMES, "the file itself comes before another program's beside it"
    (tmp_path / "config.json").write_text(json.dumps({"labels": own}))
    assert load_checkpoint(path).labels == own, "and ours before both"


def test_the_names_of_class_folders_are_kept_where_the_weights_name_none(tmp_path: Path) -> None:
    for folder in ("set", "numbers"):
        for index in range(5):
            place = tmp_path / folder / (str(index) if folder == "numbers" else f"{'edcba'[index]} shape")
            place.mkdir(parents=True)
            Image.new("RGB", (8, 8), (index, 0, 0)).save(place / "one.png")
    path = saved({}, tmp_path)
    sources = open_sources(path, None, tmp_path / "set", None)
    assert sources.checkpoint.labels == open_folder(tmp_path / "set").classes
    assert sources.checkpoint.labels == tuple(f"{letter} shape" for letter in "abcde")
    assert any(
        f"those of the folders of {tmp_path / 'set'}, in sorted order: 'a shape'" in note for note in sources.notes
    )
    assert open_sources(path, None, tmp_path / "numbers", None).checkpoint.labels is None, "numbers are no names"
    assert open_sources(path, None, None, None).checkpoint.labels is None
