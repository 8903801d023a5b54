"""Weights from the hub, from folders, with a key or rules: what is written down of them, and that it is used again."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from dmformer.bundle import Bundle
from dmformer.errors import CheckpointError
from dmformer.manifest import Manifest
from dmformer.model.again import load_again
from dmformer.model.checkpoint import load_checkpoint
from dmformer.model.hub import HubReference
from dmformer.weights import digest_of_weights
from tests.conversions import REMEMBERING
from tests.model.small_models import small_checkpoint
from tests.model.test_hub import NEW, REPOSITORIES, Hub, Repository
from tests.model.test_names import completed, made_up, proposed
from tests.support import invoke, run

Capture = pytest.CaptureFixture[str]
WANTED, OTHER = small_checkpoint(1), small_checkpoint(2)
EXPORT = ("--imgsz", "32", "--resize", "exact")


def manifest(folder: Path) -> Manifest:
    (bundle,) = folder.iterdir()
    return Bundle.load(bundle).manifest


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    files: dict[str, str | bytes] = {
        "model.safetensors": safetensors.torch.save(dict(WANTED.state)),
        "preprocessor_config.json": json.dumps({"size": 32, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}),
    }
    monkeypatch.setitem(REPOSITORIES, "org/dmformer-tiny", Repository({NEW: files}))
    with Hub() as hub:
        threading.Thread(target=hub.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{hub.server_port}"
        hub.shutdown()


def test_what_is_on_the_hub_is_exported_and_its_commit_is_kept(served: str, tmp_path: Path) -> None:
    home = {"HF_HOME": str(tmp_path / "hub"), "HF_ENDPOINT": served, "NO_PROXY": "127.0.0.1"}
    done = run("export", "hf://org/dmformer-tiny", "-o", tmp_path / "one", code=REMEMBERING, env={**os.environ, **home})
    assert done.returncode == 0, done.stderr
    assert "fetching hf://org/dmformer-tiny" in done.stderr
    first = manifest(tmp_path / "one")
    assert first.source.origin == f"hf://org/dmformer-tiny@{NEW}"
    assert (first.name, first.preprocessing.mean) == ("dmformer-tiny", (0.5,) * 3)
    # Once more by the bundle it is the same commit, whatever the branch has become; what is there is not fetched again.
    assert first.options is not None
    assert HubReference.parse(Path(str(first.options["weights"]))) == HubReference("org/dmformer-tiny", NEW)


def shards(folder: Path) -> Path:
    folder.mkdir()
    names = sorted(WANTED.state)
    parts = {f"model-0000{index + 1}-of-00002.safetensors": names[index::2] for index in range(2)}
    for file, inside in parts.items():
        safetensors.torch.save_file({name: WANTED.state[name] for name in inside}, folder / file)
    index = {"weight_map": {name: file for file, inside in parts.items() for name in inside}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def averaged(path: Path) -> Path:
    torch.save({"model": dict(OTHER.state), "ema": {"module": dict(WANTED.state)}}, path)
    return path


def test_how_weights_were_read_is_written_down_and_done_again(tmp_path: Path, capsys: Capture) -> None:
    path, rules = tmp_path / "stranger.pt", tmp_path / "rules.toml"
    torch.save({"raw": made_up(dict(OTHER.state)), "mine": made_up(dict(WANTED.state))}, path)
    torch.save(made_up(dict(WANTED.state)), tmp_path / "bare.pt")
    rules.write_text(completed(proposed(tmp_path / "bare.pt")))
    options = (*EXPORT, "--names", str(rules), "--weights-key", "mine")
    code, _, said = invoke(capsys, "export", path, *options, "-o", tmp_path / "out")
    assert code == 0, said
    source = manifest(tmp_path / "out").source
    assert source.key == "mine" and source.names is not None
    rules.unlink()
    again = load_again(path, source)
    assert all(torch.equal(again.state[name], value) for name, value in WANTED.state.items())
    torch.save({"mine": made_up(dict(OTHER.state))}, path)
    with pytest.raises(CheckpointError, match="is not what the bundle was made from"):
        load_again(path, source)


def test_a_folder_of_shards_is_one_set_of_weights(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = shards(Path("run-7"))
    assert invoke(capsys, "export", folder, *EXPORT, "-o", tmp_path / "out")[0] == 0
    found = manifest(tmp_path / "out")
    assert found.name == "run-7"
    assert (
        found.source.sha256 == digest_of_weights(folder) == digest_of_weights(folder / "model.safetensors.index.json")
    )
    (bundle,) = (tmp_path / "out").iterdir()
    assert invoke(capsys, "export", "--config", bundle, "-o", tmp_path / "two")[0] == 0
    next(folder.glob("*00002.safetensors")).unlink()
    with pytest.raises(CheckpointError, match="no such file"):
        load_checkpoint(folder)


@pytest.mark.parametrize(("key", "meant"), [(None, WANTED), ("ema", WANTED), ("ema.module", WANTED), ("model", OTHER)])
def test_a_key_chooses_and_is_said(key: str | None, meant: Any, tmp_path: Path) -> None:
    found = load_checkpoint(averaged(tmp_path / "last.pt"), key=key)
    assert all(torch.equal(value, meant.state[name]) for name, value in found.state.items())
    said = "--weights-key model takes those" if key is None else f"under '{key}' are used, as asked for"
    assert any(said in note for note in found.notes)


def test_a_key_that_holds_nothing_is_refused_with_those_that_do(tmp_path: Path, capsys: Capture) -> None:
    path = averaged(tmp_path / "last.pt")
    code, _, said = invoke(capsys, "export", path, "--weights-key", "swa", "-o", tmp_path / "out")
    assert code == 2
    assert "no weights under 'swa'" in said
    assert "--weights-key takes 'model', 'ema'" in " ".join(said.split())


def test_the_digest_is_of_the_file_that_was_read(tmp_path: Path) -> None:
    path = averaged(tmp_path / "last.pt")
    found = load_checkpoint(path)
    torch.save(dict(OTHER.state), path)
    with pytest.raises(CheckpointError, match="has changed since it was read"):
        assert found.digest


def test_names_are_shown_and_rules_are_written(tmp_path: Path, capsys: Capture) -> None:
    path, rules = tmp_path / "stranger.pt", tmp_path / "rules.toml"
    torch.save(made_up(dict(WANTED.state)), path)
    code, out, _ = invoke(capsys, "inspect", path, "--names", "--names-out", rules, "--json")
    document = json.loads(out)
    assert (code, document["kind"], document["loads"]) == (0, "names", False)
    tensors = {tensor["name"]: tensor for tensor in document["tensors"]}
    assert len(tensors) == len(WANTED.state)
    assert tensors["trunk.part1.0.mix.a.weight"]["candidates"] == ["dma.expand"]
    assert tensors["trunk.part1.0.n_a.weight"]["candidates"] == ["norm1", "norm2"]
    assert rules.read_text() == proposed(path)
    # What a person has completed since is not lost.
    code, _, said = invoke(capsys, "inspect", path, "--names", "--names-out", rules)
    assert (code, "--force" in said) == (2, True)
    code, _, said = invoke(capsys, "inspect", path, "--names-out", rules)
    assert (code, "--names" in said) == (2, True)


def test_names_of_what_loads_are_shown_too(tmp_path: Path, capsys: Capture) -> None:
    torch.save({"model": dict(WANTED.state) | {"criterion.weight": torch.ones(5)}}, tmp_path / "last.pt")
    code, _, said = invoke(capsys, "inspect", tmp_path / "last.pt", "--names")
    assert code == 0
    assert "criterion.weight" in said and "left out" in said and "loads" in said
