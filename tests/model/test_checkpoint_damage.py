"""Files that are damaged, hostile or of something else: one line, a way out, and nothing executed."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from dmformer.errors import CheckpointError
from dmformer.model.canonical import canonicalize
from dmformer.model.checkpoint import load_checkpoint
from dmformer.model.config import ModelConfig
from dmformer.model.description import read_labels
from dmformer.model.state_dicts import METADATA_KEY
from dmformer.tasks.classification import LinearHead
from tests.model.small_models import small_checkpoint, small_config

State = dict[str, Tensor]


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def refused(path: Path, config: ModelConfig | None = None) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, config=config)
    assert "\n" not in caught.value.message
    return caught.value


def refused_bytes(folder: Path, name: str, content: bytes) -> CheckpointError:
    (folder / name).write_bytes(content)
    error = refused(folder / name)
    assert name in error.message
    return error


def good_state() -> State:
    return dict(small_checkpoint().state)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".bin", ".ckpt"])
def test_files_without_weights(suffix: str, tmp_path: Path) -> None:
    name = f"weights{suffix}"
    noise = torch.randint(0, 256, (5000,), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    whole = safetensors.torch.save(good_state()) if suffix == ".safetensors" else saved(good_state())
    assert "empty" in refused_bytes(tmp_path, name, b"").message
    for content in (b"x", noise.numpy().tobytes(), whole[: len(whole) // 2], whole[:40], b"PK\x03\x04" + whole[:99]):
        assert refused_bytes(tmp_path, name, content).hint
    assert "no such file" in refused(tmp_path / f"absent{suffix}").message


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt", "weights.pth"])
def test_flipped_bytes_never_give_anything_but_one_line(name: str, tmp_path: Path) -> None:
    random = Random(0)
    buffer = io.BytesIO()
    torch.save(good_state(), buffer, _use_new_zipfile_serialization=name.endswith(".pt"))
    whole = safetensors.torch.save(good_state()) if name.endswith("s") else buffer.getvalue()
    for _ in range(25):
        damaged = bytearray(whole)
        for _ in range(random.choice([1, 3, 20])):
            # Headers are at the front, a zip's directory at the end.
            damaged[random.choice([1, -1]) * random.randrange(12_000)] = random.randrange(256)
        (tmp_path / name).write_bytes(damaged)
        try:
            load_checkpoint(tmp_path / name)
        except CheckpointError as error:
            assert "\n" not in error.message


def test_an_unknown_suffix(tmp_path: Path) -> None:
    assert "unknown kind" in refused_bytes(tmp_path, "weights.onnx", b"something").message


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("save", [saved, pickle.dumps], ids=["torch.save", "pickle"])
def test_pickled_objects_are_refused_and_not_run(save: Callable[[object], bytes], tmp_path: Path) -> None:
    error = refused_bytes(tmp_path, "weights.pt", save({"model": good_state(), "args": Trap(tmp_path / "ran")}))
    assert "could run any code" in error.message
    assert error.hint
    assert "weights_only=False" in error.hint
    assert not (tmp_path / "ran").exists()


def test_a_whole_pickled_module_is_refused_with_the_way_out(tmp_path: Path) -> None:
    error = refused_bytes(tmp_path, "weights.pt", saved(small_checkpoint().build()))
    assert error.hint
    assert "state_dict()" in error.hint


def test_a_file_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(10**6))
    monkeypatch.setattr("dmformer.model.weight_files.MAX_FILE_BYTES", 10**5)
    assert "unpacks to" in refused(tmp_path / "bomb.pt").message


@pytest.mark.parametrize("content", [{}, [1, 2], {"state_dict": {"epoch": 3}}, 5, {"model": {"model": 3}}], ids=str)
def test_torch_files_without_tensors(content: object, tmp_path: Path) -> None:
    assert "no weights" in refused_bytes(tmp_path, "weights.pt", saved(content)).message


def test_another_network_is_named_as_such(tmp_path: Path) -> None:
    resnet = {
        "conv1.weight": torch.zeros(64, 3, 7, 7),
        "layer1.0.conv1.weight": torch.zeros(64, 64, 3, 3),
        "fc.weight": torch.zeros(1000, 512),
        "evil\n\x1b[2Jname": torch.zeros(1),
    }
    message = refused_bytes(tmp_path, "resnet.pth", saved(resnet)).message
    assert "missing stem.conv1.weight" in message
    assert "layer1.0.conv1.weight" in message
    assert "\x1b" not in message


def test_a_head_without_its_bias(tmp_path: Path) -> None:
    state = {name: value for name, value in good_state().items() if name != "head.bias"}
    error = refused_bytes(tmp_path, "backbone.pt", saved(state))
    assert "missing head.bias" in error.message
    assert error.hint
    assert "not whole" in error.hint


def test_missing_surplus_and_misshapen_tensors_are_listed(tmp_path: Path) -> None:
    state = good_state()
    del state["stages.1.1.ffn.conv2.bias"]
    state["stages.3.0.dma.fuse.weight"] = torch.zeros(3, 2)
    state |= {f"decoder.{index}.weight": torch.zeros(1) for index in range(11)}
    message = refused_bytes(tmp_path, "weights.pt", saved(state)).message
    assert "missing stages.1.1.ffn.conv2.bias;" in message
    assert "decoder.7.weight and 3 more" in message
    assert "decoder.8.weight" not in message
    assert "stages.3.0.dma.fuse.weight (expected (20, 40, 1, 1), found (3, 2, 1, 1))" in message


def test_weights_that_do_not_fit_the_configuration_given(tmp_path: Path) -> None:
    torch.save(good_state(), tmp_path / "weights.pt")
    message = refused(tmp_path / "weights.pt", config=small_config(head=LinearHead(classes=7))).message
    assert "head.weight (expected (7, 20), found (5, 20))" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(value: float, tmp_path: Path) -> None:
    state = good_state()
    state["stages.2.0.ffn.conv1.weight"].view(-1)[3] = value
    assert "stages.2.0.ffn.conv1.weight holds" in refused_bytes(tmp_path, "weights.pt", saved(state)).message


def test_float64_beyond_float32_counts_as_not_finite(tmp_path: Path) -> None:
    state = good_state() | {"head.bias": torch.full((5,), 1e200, dtype=torch.float64)}
    assert "head.bias holds" in refused_bytes(tmp_path, "weights.pt", saved(state)).message


@pytest.mark.parametrize(
    ("tensor", "problem"),
    [
        (torch.ones(5, dtype=torch.int8), "dtype torch.int8"),
        (torch.ones(5, dtype=torch.complex64), "dtype torch.complex64"),
        (torch.ones(5).to_sparse(), "no plain tensor"),
        (torch.ones(1).expand(5), "more values than the file holds"),
        (torch.ones(5, device="meta"), "no plain tensor"),
    ],
    ids=["int8", "complex", "sparse", "expanded", "meta"],
)
def test_tensors_that_are_no_weights(tensor: Tensor, problem: str, tmp_path: Path) -> None:
    state = good_state() | {"head.bias": tensor}
    message = refused_bytes(tmp_path, "weights.pt", saved(state)).message
    assert "head.bias" in message
    assert problem in message


def test_tensors_that_share_memory_do_not_unpack_to_much_more_than_the_file(tmp_path: Path) -> None:
    state = dict(small_checkpoint(widths=(64, 256, 256, 256), depths=(1, 2, 9, 2)).state)
    largest = torch.zeros(max(tensor.numel() for tensor in state.values()))
    shared = {name: largest[: tensor.numel()].view(tensor.shape) for name, tensor in state.items()}
    content = saved(shared)
    assert len(content) < sum(tensor.nbytes for tensor in shared.values()) // 10
    assert "share memory" in refused_bytes(tmp_path, "weights.pt", content).message


def test_negative_variances(tmp_path: Path) -> None:
    state = good_state()
    state["norm.running_var"][0] = -1
    assert "norm.running_var holds negative" in refused_bytes(tmp_path, "weights.pt", saved(state)).message


NORMS = sorted(name for name in good_state() if name.endswith("running_var"))


@pytest.mark.parametrize("value", [-1e-3, -1e-5, -1e30, -1e-45, float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("way", ["file", "API"])
def test_variances_that_none_has_are_refused_at_once_by_name(value: float, way: str, tmp_path: Path) -> None:
    for name in NORMS:
        checkpoint = small_checkpoint()
        checkpoint.state[name][0] = value
        torch.save(dict(checkpoint.state), tmp_path / "weights.pt")
        with pytest.raises(CheckpointError, match=re.escape(f"{name} holds")):
            checkpoint.build() if way == "API" else load_checkpoint(tmp_path / "weights.pt")


@pytest.mark.parametrize("value", [0, 1e-45, 1e38])
def test_variances_at_the_ends_of_what_is_possible_fold(value: float) -> None:
    for name in NORMS:
        checkpoint = small_checkpoint()
        checkpoint.state[name][0] = value
        assert bool(canonicalize(checkpoint.build())(torch.ones(1, 3, 32, 32)).isfinite().all())


def test_two_models_under_one_name(tmp_path: Path) -> None:
    state = good_state()
    state |= {f"module.{name}": value for name, value in state.items()}
    assert "two tensors are called" in refused_bytes(tmp_path, "weights.pt", saved(state)).message


@pytest.mark.parametrize(
    ("name", "shape", "problem"),
    [
        ("stem.conv1.weight", (6, 3), "4 dimensions"),
        ("stem.conv1.weight", (0, 3, 7, 7), "at least 1"),
        ("stages.0.0.dma.expand.weight", (17, 8, 1, 1), "no multiple"),
        ("stages.2.0.dma.gate.reduce.weight", (7, 16, 1, 1), "no single gate reduction"),
        ("stages.0.0.ffn.conv1.weight", (8 * 40, 8, 1, 1), "no possible DMFormer: ffn_ratios"),
        ("stages.0.0.dma.levels.1.weight", (16, 1, 4, 4), "must be odd"),
        ("stages.0.999.norm1.weight", (8,), "depths"),
    ],
)
def test_shapes_that_no_configuration_has(name: str, shape: tuple[int, ...], problem: str, tmp_path: Path) -> None:
    state = good_state() | {name: torch.zeros(shape)}
    assert problem in refused_bytes(tmp_path, "weights.pt", saved(state)).message


DOCUMENTS = [
    ("{", "not readable as JSON"),
    ("[" * 100_000, "not readable as JSON"),
    ('{"widths": [8, 8]}', "no valid configuration"),
    ('{"surprise": 1}', "no valid configuration (surprise"),
    ("[1]", "no valid configuration"),
    ('{"labels": "' + "a" * 2**20 + '"}', "more than 1 MiB"),
    ('{"preprocessing": {"size": [100, 100]}}', "divisible by 32"),
    ('{"labels": ["a"]}', "1 labels for 5 classes"),
]


FOREIGN = {"{", "[" * 100_000, '{"surprise": 1}', "[1]", DOCUMENTS[5][0]}
"""What is none of ours where it stands in `config.json`, and is left aside there."""


@pytest.mark.parametrize(("document", "problem"), DOCUMENTS, ids=[problem for _, problem in DOCUMENTS])
@pytest.mark.parametrize("place", ["metadata", "config.json"])
def test_descriptions_that_are_wrong(place: str, document: str, problem: str, tmp_path: Path) -> None:
    metadata = {METADATA_KEY: document} if place == "metadata" else None
    safetensors.torch.save_file(good_state(), tmp_path / "weights.safetensors", metadata)
    if place == "config.json":
        (tmp_path / "config.json").write_text(document)
    if place == "config.json" and document in FOREIGN:
        assert any("config.json beside" in note for note in load_checkpoint(tmp_path / "weights.safetensors").notes)
    else:
        assert problem in refused(tmp_path / "weights.safetensors").message


def test_numbers_that_are_none_in_a_description(tmp_path: Path) -> None:
    torch.save(good_state(), tmp_path / "weights.pt")
    document = small_config().model_dump() | {"ffn_ratios": (1, 1, 1, float("nan"))}
    (tmp_path / "config.json").write_text(json.dumps(document))
    assert "ffn_ratios" in refused(tmp_path / "weights.pt").message


@pytest.mark.parametrize("place", ["labels.json", "labels.txt"])
@pytest.mark.parametrize("kind", ["fifo", "link to a fifo", "too large"])
def test_what_stands_in_a_description_s_place_is_refused_at_once(place: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / place
    if kind == "too large":
        path.write_bytes(b"a" * (2**20 + 1))
    else:
        os.mkfifo(tmp_path / "pipe" if kind == "link to a fifo" else path)
    if kind == "link to a fifo":
        path.symlink_to("pipe")
    with pytest.raises(CheckpointError, match="larger than 1 MiB" if kind == "too large" else "is no regular file"):
        read_labels(path)
