"""Files that were written on top of other code: each is the same function here, or is refused by name."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dmformer.errors import CheckpointError
from dmformer.model.checkpoint import Checkpoint, load_checkpoint
from tests.model.elsewhere.files import ENTRIES, Entry
from tests.model.elsewhere.networks import MEANT, NETWORKS, OTHER, network

LOADED = [entry for entry in ENTRIES if entry.network is not None]
REFUSED = [entry for entry in ENTRIES if entry.network is None]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its path has none of a test's words, so that a message with the path in it proves nothing."""
    return tmp_path_factory.mktemp("files")


def without_paths(error: CheckpointError, path: Path) -> str:
    return str(error).replace(str(path), "PATH").replace(str(path.parent), "FOLDER")


def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(11), dtype=torch.float64)


def convert(path: Path, error: CheckpointError, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a person does who trusts the file: the command of the hint."""
    command = re.search(r'python -c "([^"]+)"', error.hint or "")
    assert command, error
    folder = path.parent / "converted"
    folder.mkdir()
    shutil.copy(path, folder / "checkpoint.pt")
    monkeypatch.chdir(folder)
    exec(command[1], {})
    return folder / "weights.pt"


def load(entry: Entry, path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    try:
        return load_checkpoint(path)
    except CheckpointError as error:
        if not entry.pickled or "could run any code" not in error.message:
            raise
        return load_checkpoint(convert(path, error, monkeypatch))


@pytest.mark.parametrize("entry", LOADED, ids=lambda entry: entry.id)
def test_the_function_is_the_same(entry: Entry, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert entry.network is not None
    path = entry.write(folder)
    try:
        found = load(entry, path, monkeypatch)
    except CheckpointError as error:
        if entry.or_refused is None:
            raise
        assert re.search(entry.or_refused, without_paths(error, path))
        return
    batch = images()
    with torch.inference_mode():
        wanted = entry.network().double().eval()(batch)
        given = found.build().double()(batch)
    assert given.shape == wanted.shape
    assert (given - wanted).abs().max() <= 1e-9 * max(1.0, float(wanted.abs().max()))
    for words in entry.says:
        assert any(re.search(words, note) for note in found.notes), found.notes


@pytest.mark.parametrize("entry", REFUSED, ids=lambda entry: entry.id)
def test_what_is_no_such_network_is_refused_by_name(entry: Entry, folder: Path) -> None:
    path = entry.write(folder)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert "\n" not in caught.value.message
    assert entry.refusal is not None
    assert re.search(entry.refusal, without_paths(caught.value, path))


@pytest.mark.parametrize("name", NETWORKS)
def test_other_weights_are_another_function(name: str) -> None:
    """Otherwise a file with two sets of weights would prove nothing."""
    batch = images()
    with torch.inference_mode():
        meant, other = (network(name, seed).double()(batch) for seed in (MEANT, OTHER))
    assert (meant - other).abs().max() > 1e-3
