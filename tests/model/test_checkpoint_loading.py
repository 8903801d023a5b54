"""Checkpoints as people have them: saved by this project or by trainers, described or not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings

from dmformer.errors import CheckpointError, OutputError, UsageError
from dmformer.model.canonical import assert_equal, canonicalize
from dmformer.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dmformer.model.config import PRESETS, ModelConfig
from dmformer.model.random_weights import random_checkpoint
from dmformer.model.state_dicts import expected_shapes
from dmformer.preprocessing import Preprocessing
from tests.model.small_models import configs, images, nested, small_checkpoint, small_config


def same_state(left: Checkpoint, right: Checkpoint) -> bool:
    return left.state.keys() == right.state.keys() and all(
        torch.equal(value, right.state[name]) for name, value in left.state.items()
    )


@settings(max_examples=15, deadline=None)
@given(configs())
def test_round_trip_with_and_without_metadata(tmp_path_factory: pytest.TempPathFactory, config: ModelConfig) -> None:
    folder = tmp_path_factory.mktemp("round_trip")
    original = random_checkpoint(config, size=64)
    save_checkpoint(original, folder / "own.safetensors")
    own = load_checkpoint(folder / "own.safetensors")
    assert (own.config, own.preprocessing, own.name) == (config, original.preprocessing, original.name)
    assert own.notes == ()
    assert same_state(own, original)

    safetensors.torch.save_file(dict(original.state), folder / "foreign.safetensors")
    foreign = load_checkpoint(folder / "foreign.safetensors", dilations=config.dilations)
    # Ratios are not unique in small networks: equal shapes and an equal computation are what counts.
    assert expected_shapes(foreign.config) == expected_shapes(config)
    assert (foreign.config.norm, foreign.config.layer_scale) == (config.norm, config.layer_scale)
    assert same_state(foreign, original)
    assert torch.equal(foreign.build()(images(config)), original.build()(images(config)))


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_presets_are_inferred(preset: str, tmp_path: Path) -> None:
    safetensors.torch.save_file(dict(random_checkpoint(preset).state), tmp_path / "bare.safetensors")
    found = load_checkpoint(tmp_path / "bare.safetensors")
    assert found.config == PRESETS[preset]
    assert found.preprocessing == Preprocessing(size=(224, 224))
    assert any("dilations 1, 2, 3" in note for note in found.notes)
    assert any("224x224" in note for note in found.notes)


def test_a_canonical_checkpoint_loads(tmp_path: Path) -> None:
    folded = canonicalize(small_checkpoint().build())
    torch.save(folded.state_dict(), tmp_path / "folded.pt")
    loaded = load_checkpoint(tmp_path / "folded.pt")
    assert loaded.config.is_canonical
    assert_equal(folded, loaded.build(), images(folded.config), 0)


@pytest.mark.parametrize("form", sorted(nested({}, {})))
@pytest.mark.parametrize("suffix", [".pt", ".ckpt"])
def test_trainers_nesting_and_prefixes(form: str, suffix: str, tmp_path: Path) -> None:
    wanted, other = small_checkpoint(1), small_checkpoint(2)
    content = nested(dict(wanted.build().state_dict()), dict(other.state))[form]
    torch.save(content, tmp_path / f"trained{suffix}")
    found = load_checkpoint(tmp_path / f"trained{suffix}", config=wanted.config)
    assert same_state(found, wanted)
    assert any("averaged (EMA)" in note for note in found.notes) == ("ema" in form)


def test_the_old_torch_format_loads(tmp_path: Path) -> None:
    wanted = small_checkpoint()
    torch.save(dict(wanted.state), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same_state(load_checkpoint(tmp_path / "old.pth"), wanted)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_other_precisions_are_cast_and_noted(dtype: torch.dtype, suffix: str, tmp_path: Path) -> None:
    state = {name: value.to(dtype) for name, value in small_checkpoint().state.items()}
    path = tmp_path / f"weights{suffix}"
    save: Callable[..., object] = torch.save if suffix == ".pt" else safetensors.torch.save_file
    save(state, path)
    found = load_checkpoint(path)
    assert all(torch.equal(value, state[name].float()) for name, value in found.state.items())
    assert {value.dtype for value in found.state.values()} == {torch.float32}
    assert any(str(dtype).removeprefix("torch.") in note for note in found.notes)


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_description_beside_the_file_is_used(wrapped: bool, tmp_path: Path) -> None:
    config = small_config(dilations=(1, 1, 2))
    torch.save(dict(random_checkpoint(config).state), tmp_path / "weights.pt")
    document: dict[str, Any] = config.model_dump(mode="json")
    if wrapped:
        document = {"model": document, "labels": list("abcde"), "preprocessing": {"size": [64, 96]}}
    (tmp_path / "config.json").write_text(json.dumps(document))
    found = load_checkpoint(tmp_path / "weights.pt")
    assert found.config == config
    assert found.labels == (tuple("abcde") if wrapped else None)
    assert found.preprocessing.size == ((64, 96) if wrapped else (224, 224))
    assert len(found.notes) == (0 if wrapped else 1)


def test_metadata_comes_before_the_file_beside_and_arguments_before_both(tmp_path: Path) -> None:
    original = small_checkpoint(dilations=(1, 2, 2))
    save_checkpoint(original, tmp_path / "weights.safetensors")
    (tmp_path / "config.json").write_text("not even JSON")
    assert load_checkpoint(tmp_path / "weights.safetensors").config.dilations == (1, 2, 2)
    given = load_checkpoint(
        tmp_path / "weights.safetensors",
        config=small_config(dilations=(1, 1, 1)),
        preprocessing=Preprocessing(size=(96, 96)),
    )
    assert given.config.dilations == (1, 1, 1)
    assert given.preprocessing.size == (96, 96)
    assert load_checkpoint(tmp_path / "weights.safetensors", dilations=(2, 2, 2)).config.dilations == (2, 2, 2)


@pytest.mark.parametrize(
    ("content", "name"),
    [("a\nb b\nc\nd\né\n", "labels.txt"), ('["a", "b b", "c", "d", "é"]', "labels.json")],
)
def test_labels_from_files(content: str, name: str, tmp_path: Path) -> None:
    torch.save(dict(small_checkpoint().state), tmp_path / "weights.pt")
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert load_checkpoint(tmp_path / "weights.pt", labels=tmp_path / name).labels == ("a", "b b", "c", "d", "é")


def test_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(dict(small_checkpoint().state), path)
    with pytest.raises(UsageError, match="2 labels for 5 classes"):
        load_checkpoint(path, labels=["a", "b"])
    with pytest.raises(UsageError, match="control characters"):
        load_checkpoint(path, labels=["a", "b", "c", "d", "\x1b[2J"])
    (tmp_path / "labels.json").write_text('{"0": "a"}')
    with pytest.raises(UsageError, match="list of strings"):
        load_checkpoint(path, labels=tmp_path / "labels.json")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(path, labels=tmp_path / "absent.txt")


def test_arguments_that_do_not_fit_the_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(dict(small_checkpoint().state), path)
    with pytest.raises(UsageError, match="one dilation for each kernel"):
        load_checkpoint(path, dilations=(1, 2))
    with pytest.raises(UsageError, match="divisible by 32"):
        load_checkpoint(path, preprocessing=Preprocessing(size=(100, 96)))
    with pytest.raises(UsageError, match="1 channels"):
        load_checkpoint(path, preprocessing=Preprocessing(size=(96, 96), mean=(0,), std=(1,), channel_order="grey"))


def test_saving_is_deterministic_and_replaces_only_with_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    path = folder / "weights.safetensors"
    save_checkpoint(small_checkpoint(), path)
    first = path.read_bytes()
    save_checkpoint(load_checkpoint(path), path)
    assert path.read_bytes() == first
    assert load_checkpoint(path).digest == hashlib.sha256(first).hexdigest()

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(small_checkpoint(9), path)
    assert path.read_bytes() == first
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize("name", ["absent/weights.safetensors", "weights.pt"])
def test_where_nothing_can_be_saved(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        save_checkpoint(small_checkpoint(), tmp_path / name)
    assert caught.value.hint
