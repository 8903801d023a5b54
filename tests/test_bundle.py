"""Loading a bundle: everything is checked before anything is used."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dmformer.bundle import Bundle, assemble, entry_of, parse_manifest, sha256_of
from dmformer.errors import BundleError
from tests.support import edit_manifest, snapshot

Exported = Callable[..., Path]


def test_a_whole_bundle_loads_with_every_file_checked(exported: Exported) -> None:
    path = exported("openvino")
    bundle = Bundle.load(path)
    listed = {path / name for name in bundle.manifest.files}
    assert listed | {path / "manifest.json"} == set(path.iterdir())
    assert all(sha256_of(path / name) == entry.sha256 for name, entry in bundle.manifest.files.items())
    assert bundle.file("engine").name == "model.xml"
    assert bundle.file("weights").name == "model.bin"
    assert bundle.manifest.source.sha256 != "0" * 64


def test_a_bundle_can_be_moved_and_copied(exported: Exported, tmp_path: Path) -> None:
    shutil.copytree(exported("onnxruntime"), tmp_path / "elsewhere")
    assert Bundle.load(str(tmp_path / "elsewhere")).golden().images


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz"])
@pytest.mark.parametrize("position", [0, 0.5, 1])
def test_one_changed_byte_is_found(copied: Path, name: str, position: float) -> None:
    content = bytearray((copied / name).read_bytes())
    content[round(position * (len(content) - 1))] ^= 1
    (copied / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name}: differs from what was exported"):
        Bundle.load(copied)


def test_a_longer_and_a_missing_file_are_named(copied: Path) -> None:
    with (copied / "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleError, match=r"model\.onnx: differs"):
        Bundle.load(copied)
    (copied / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx: is missing"):
        Bundle.load(copied)


@pytest.mark.parametrize(
    "path", ["../outside", "sub/../../outside", "/etc/passwd", "C:evil", "a\\..\\b", "..", ".", "", "x" * 600, "a\0b"]
)
def test_no_path_leaves_the_bundle(copied: Path, path: str) -> None:
    (copied.parent / "outside").write_bytes(b"")
    edit_manifest(copied, lambda m: m["files"].update({path: m["files"]["model.onnx"]}))
    with pytest.raises(BundleError, match=r"files|control characters"):
        Bundle.load(copied)


def test_a_link_that_leaves_the_bundle_is_refused_and_one_inside_is_not(copied: Path) -> None:
    shutil.move(copied / "model.onnx", copied.parent / "model.onnx")
    (copied / "model.onnx").symlink_to(copied.parent / "model.onnx")
    with pytest.raises(BundleError, match="link that leaves"):
        Bundle.load(copied)
    (copied / "model.onnx").unlink()
    shutil.move(copied.parent / "model.onnx", copied / "real.onnx")
    (copied / "model.onnx").symlink_to("real.onnx")
    Bundle.load(copied)


def test_a_newer_schema_is_named_with_the_way_out(copied: Path) -> None:
    edit_manifest(copied, lambda m: m.update(schema="dmformer.bundle/3", novelty=1))
    with pytest.raises(BundleError, match=r"dmformer\.bundle/3.*this version reads") as caught:
        Bundle.load(copied)
    assert "upgrade" in str(caught.value.hint)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"schema": "dmformer.bundle/1"}',
        b'{"schema": "dmformer.bundle/2"}',
    ],
)
def test_a_manifest_that_is_none(copied: Path, content: bytes) -> None:
    (copied / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Bundle.load(copied)


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda m: m.pop("files"), "files"),
        (lambda m: m.update(surprise=1), "surprise"),
        (lambda m: m["files"]["model.onnx"].update(sha256="xyz"), "sha256"),
        (lambda m: m["files"]["model.onnx"].update(bytes=-1), "bytes"),
        (lambda m: m["input"].update(shape=[]), "input"),
        (lambda m: m["input"].update(shape=[0, 3, 32, 32]), "input"),
        (lambda m: m["input"].update(shape=[10**12, 3, 32, 32]), "input"),
        (lambda m: m["preprocessing"].update(size=[64, 64]), "preprocessing"),
        (lambda m: m["output"].update(shape=[1, 11]), "the outputs \\(1, 11\\) are not those of linear, 10 classes"),
        (lambda m: m.update(labels=["one"]), "1 labels for 10 classes"),
        (lambda m: m["proof"].update(comparisons=[]), "comparisons"),
        (lambda m: m["proof"]["tolerance"].update(min_sqnr_db=float("nan")), "min_sqnr_db"),
    ],
)
def test_a_field_out_of_range_is_named(copied: Path, change: Change, where: str) -> None:
    edit_manifest(copied, change)
    with pytest.raises(BundleError, match=where):
        Bundle.load(copied)


def test_what_is_no_bundle(tmp_path: Path, copied: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "file", tmp_path / "empty", tmp_path / "nothing", copied / "model.onnx"):
        with pytest.raises(BundleError, match=r"is not a bundle|no such directory"):
            Bundle.load(path)
    with pytest.raises(BundleError):
        Bundle.load(tmp_path / ("x" * 300))


def test_unfinished_work_does_not_load_even_when_it_is_whole(copied: Path) -> None:
    unfinished = copied.rename(copied.with_name(".bundle.1.partial"))
    with pytest.raises(BundleError, match="unfinished"):
        Bundle.load(unfinished)


def test_a_manifest_that_is_a_pipe_does_not_hang(copied: Path) -> None:
    (copied / "manifest.json").unlink()
    os.mkfifo(copied / "manifest.json")
    with pytest.raises(BundleError, match="is not a bundle"):
        Bundle.load(copied)


def test_the_role_that_no_file_has_is_named(copied: Path) -> None:
    with pytest.raises(BundleError, match="'cache'"):
        Bundle.load(copied).file("cache")


def test_a_manifest_survives_its_own_text_and_assembling_again_gives_the_same_bytes(copied: Path) -> None:
    bundle = Bundle.load(copied)
    text = (copied / "manifest.json").read_text()
    assert parse_manifest(json.loads(text), copied) == bundle.manifest
    assert bundle.manifest.to_json() == text
    before = snapshot(copied)
    again = assemble(copied, bundle.manifest, bundle.golden(), {"model.onnx": "engine"})
    assert snapshot(copied) == before
    assert again == bundle


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["labels"].insert(0, m["labels"].pop(1)),
        lambda m: m["preprocessing"].update(channel_order="bgr"),
        lambda m: m["preprocessing"].update(resize="letterbox"),
        lambda m: m["preprocessing"].update(mean=[0.1, 0.2, 0.3]),
        lambda m: m["proof"]["tolerance"].update(min_sqnr_db=-1.0),
        lambda m: m["proof"].update(passed=False),
        lambda m: m["proof"]["comparisons"][0].update(images=7),
        lambda m: m["host"].update(cpu_isa=[]),
        lambda m: m["precision"].update(requested="fp16"),
        lambda m: m.update(name="another"),
        lambda m: m["runtime"].update(version="0.0"),
    ],
)
def test_a_manifest_that_was_edited_is_not_the_golden_samples_own(copied: Path, change: Change) -> None:
    document = json.loads((copied / "manifest.json").read_text())
    change(document)
    (copied / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(BundleError, match=r"manifest\.json: differs from what was exported"):
        Bundle.load(copied)


def test_a_bundle_whose_golden_samples_say_nothing_of_the_manifest_loads(copied: Path) -> None:
    golden = copied / "golden.npz"
    document = json.loads((copied / "manifest.json").read_text())
    Bundle.load(copied).golden().save(golden)
    document["files"]["golden.npz"] = entry_of(golden, "golden").model_dump()
    document["labels"].reverse()
    (copied / "manifest.json").write_text(json.dumps(document))
    assert Bundle.load(copied).manifest.labels == tuple(document["labels"])


def test_a_proof_replaces_the_manifest_and_is_vouched_for(copied: Path) -> None:
    bundle = Bundle.load(copied)
    proof = bundle.manifest.proof
    assert proof is not None
    inode = (copied / "manifest.json").stat().st_ino
    failed = proof.model_copy(update={"passed": False})
    bundle.with_proof(failed)
    assert (copied / "manifest.json").stat().st_ino != inode
    assert Bundle.load(copied).manifest.proof == failed
    assert not list(copied.glob(".*"))
