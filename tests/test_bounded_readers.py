"""Readers refuse at once what is no regular file and what is larger than they allow."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import dmformer.bundle
import dmformer.calibration.cache
import dmformer.calibration.plan
import dmformer.calibration.ranges
import dmformer.evaluation.latency.kept
import dmformer.model.description
import dmformer.runtimes.mlprogram.package
import dmformer.runtimes.tensorrt.layers
import dmformer.runtimes.tensorrt.plan
import dmformer.runtimes.tensorrt.timing_cache
from dmformer.bundle import read_manifest
from dmformer.calibration.cache import Cache, cache_key
from dmformer.calibration.plan import PrecisionPlan, load_plan
from dmformer.calibration.ranges import load_ranges
from dmformer.errors import DmformerError
from dmformer.evaluation.latency.kept import read_document
from dmformer.graph import summary
from dmformer.graph.summary import describe_onnx
from dmformer.model.description import read_labels
from dmformer.reading import read_bounded, read_json
from dmformer.runtimes.mlprogram.blob import Blob
from dmformer.runtimes.mlprogram.package import PackageError, read_package
from dmformer.runtimes.tensorrt.layers import read_description
from dmformer.runtimes.tensorrt.plan import read_plan
from dmformer.runtimes.tensorrt.timing_cache import TimingCache
from dmformer.staging import BUNDLE
from tests.support import invoke, one_line

READERS: dict[str, tuple[ModuleType, str, Callable[[Path], object]]] = {
    "manifest.json": (dmformer.bundle, "MAX_MANIFEST_BYTES", lambda path: read_manifest(path.parent)),
    "layers.json": (dmformer.runtimes.tensorrt.layers, "MAX_LAYERS_BYTES", read_description),
    "build.json": (dmformer.runtimes.tensorrt.plan, "MAX_PLAN_BYTES", read_plan),
    "timing.cache": (
        dmformer.runtimes.tensorrt.timing_cache,
        "MAX_CACHE_BYTES",
        lambda path: TimingCache(path).read(),
    ),
    "plan.json": (dmformer.calibration.plan, "MAX_BYTES", load_plan),
    "ranges.json": (dmformer.calibration.ranges, "MAX_BYTES", load_ranges),
    "bench.json": (dmformer.evaluation.latency.kept, "MAX_BYTES", read_document),
    "labels.txt": (dmformer.model.description, "MAX_JSON_BYTES", read_labels),
    "model.onnx": (summary, "MAX_ONNX_BYTES", describe_onnx),
    "Manifest.json": (
        dmformer.runtimes.mlprogram.package,
        "MAX_MANIFEST_BYTES",
        lambda path: read_package(path.parent),
    ),
}
"""Where each bound is said, and who reads a file under it."""
STRANGE: dict[str, Callable[[Path], None]] = {
    "FIFO": os.mkfifo,
    "directory": Path.mkdir,
    "link to an endless device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_regular_file_is_refused_by_name(name: str, kind: str, tmp_path: Path) -> None:
    STRANGE[kind](tmp_path / name)
    with pytest.raises((DmformerError, PackageError)) as caught:
        READERS[name][2](tmp_path / name)
    message = getattr(caught.value, "message", str(caught.value))
    assert tmp_path.name in message or name in message
    assert "\n" not in message
    assert not BUNDLE.marks(tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_what_is_too_large_is_refused_by_its_limit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, limit, read = READERS[name]
    monkeypatch.setattr(module, limit, 1 << 20)
    with (tmp_path / name).open("wb") as file:
        file.truncate((1 << 20) + 1)
    with pytest.raises((DmformerError, PackageError), match="is larger than 1 MiB"):
        read(tmp_path / name)


@pytest.mark.parametrize("kind", STRANGE)
def test_a_strange_cache_entry_is_no_entry(kind: str, tmp_path: Path) -> None:
    key = cache_key({"weights": "a"})
    STRANGE[kind](tmp_path / f"plan-{key}.json")
    assert Cache(tmp_path).get("plan", key, PrecisionPlan) is None


@pytest.mark.parametrize("kind", STRANGE)
def test_strange_weights_of_a_package_are_refused(kind: str, tmp_path: Path) -> None:
    STRANGE[kind](tmp_path / "weight.bin")
    with pytest.raises(ValueError, match=r"weight\.bin is no regular file"):
        Blob(tmp_path / "weight.bin")


def test_a_file_of_just_the_limit_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert read_bounded(tmp_path / "file", 100) == b"x" * 100
    with pytest.raises(OSError, match="is larger than 99 bytes"):
        read_bounded(tmp_path / "file", 99)


def test_deep_documents_are_no_json(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"nested too deep|Expecting"):
        read_json(tmp_path / "deep.json", 1 << 20)


@pytest.mark.parametrize("kind", ["a FIFO", "a device", "missing", "of another kind"])
@pytest.mark.parametrize("command", [["inspect"], ["export", "--int8", "--plan"], ["export", "--int8", "--ranges"]])
def test_no_command_waits_or_works_for_a_file_that_is_none(
    command: list[str], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "given.onnx"
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")  # which is only read
    elif kind == "of another kind":
        path.write_text("{}")
    code, out, err = invoke(capsys, *command, path)
    assert (code, out) == (2, "")
    assert str(path) in one_line(err)
    assert "verifying on" not in err
