"""The road end to end: what is written, where, and what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dmformer
from dmformer import assets
from dmformer.bundle import Bundle, sha256_of
from dmformer.errors import DataError, DmformerError, MissingBackendError, OutputError, RejectedError, UsageError
from dmformer.model.checkpoint import Checkpoint
from dmformer.pipeline import export as road
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.option_groups import ToleranceOptions
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.sources import demonstration_of, open_sources
from tests.support import Notes, names, outputs, partials, proof_of, random_batch, random_images, snapshot, world

Exported = Callable[..., Path]
IMPOSSIBLE = ToleranceOptions(min_sqnr=500)


def options(place: Path, **changes: object) -> ExportOptions:
    return replace(ExportOptions(output=place, golden_images=4), **changes)  # type: ignore[arg-type]


def test_the_api_in_four_lines(weights: Path, tmp_path: Path) -> None:
    bundle = dmformer.export(weights, target="onnxruntime", options=options(tmp_path / "out"))
    with dmformer.open_bundle(bundle) as session:
        result = session.run(random_batch(1))
    assert bundle.path == tmp_path / "out" / "mini-onnxruntime-fp32"
    assert result["logits"].shape == (1, 10)
    assert names(list((tmp_path / "out").iterdir())) == ["mini-onnxruntime-fp32"]


def test_several_targets_in_one_run_share_the_reference_s_answers(
    weights: Path, labelled: Path, tmp_path: Path
) -> None:
    chosen = options(tmp_path, targets=("onnx", "openvino"), precision="fp16", data=labelled, max_images=8)
    notes = Notes()
    outcomes = export_bundles(weights, chosen, notes)
    assert [outcome.bundle.path.name for outcome in outcomes] == ["mini-onnx-fp16", "mini-openvino-fp16"]
    for outcome in outcomes:
        assert outcome.proof.passed, outcome.proof.failures
        assert Bundle.load(outcome.bundle.path).manifest.proof == outcome.proof
        assert [comparison.images for comparison in outcome.proof.comparisons] == [4, 8]
        assert set(outcome.proof.comparisons[1].figures) == {"top1", "top5"}
    first, second = (outcome.proof.comparisons[1].figures["top1"] for outcome in outcomes)
    assert first.reference == second.reference is not None
    assert any("8 images, spread evenly" in note for note in notes.said)


def test_the_manifest_says_where_it_came_from(exported: Exported, weights: Path, checkpoint: Checkpoint) -> None:
    manifest = Bundle.load(exported("openvino")).manifest
    assert manifest.source.sha256 == sha256_of(weights)
    assert manifest.source.config == checkpoint.config
    assert manifest.preprocessing == checkpoint.preprocessing
    assert manifest.labels == checkpoint.labels
    assert manifest.input.shape == (1, 3, 32, 32)
    assert manifest.output.shape == (1, 10)
    assert {"dmformer", "torch", "onnx", "onnxruntime"} <= manifest.tools.keys()
    assert manifest.proof is not None
    assert not manifest.not_deterministic
    text = (exported("openvino") / "manifest.json").read_text()
    assert str(weights.parent) not in text


def test_a_plain_graph_answers_the_same(weights: Path, exported: Exported, tmp_path: Path) -> None:
    plain = export_bundles(weights, options(tmp_path, canonical=False, simplify=False))[0].bundle
    assert plain.file("engine").read_bytes() != (exported("onnxruntime") / "model.onnx").read_bytes()
    batch = random_batch(1)
    np.testing.assert_allclose(outputs(plain, batch), outputs(exported("onnxruntime"), batch), atol=1e-4)


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_a_batch_of_more_images_than_there_are_golden_samples(weights: Path, tmp_path: Path, target: str) -> None:
    outcome = export_bundles(weights, options(tmp_path, targets=(target,), batch=7))[0]
    assert outcome.proof.passed
    assert outputs(outcome.bundle, random_batch(7)).shape == (7, 10)


def test_another_size_than_the_checkpoint_s(weights: Path, tmp_path: Path) -> None:
    bundle = export_bundles(weights, options(tmp_path, size=(64, 32)))[0].bundle
    assert bundle.manifest.input.shape == (1, 3, 64, 32)
    assert bundle.manifest.preprocessing.size == (64, 32)


def test_below_tolerance_a_bundle_is_kept_as_rejected_beside_the_good_one(weights: Path, tmp_path: Path) -> None:
    good = export_bundles(weights, options(tmp_path))[0].bundle.path
    before = snapshot(good)
    for _ in range(2):
        outcome = export_bundles(weights, options(tmp_path, tolerance=IMPOSSIBLE, force=True))[0]
        assert not outcome.proof.passed
        assert outcome.bundle.path == good.with_name(f"{good.name}.rejected")
    assert proof_of(outcome.bundle.path).failures == outcome.proof.failures
    assert "SQNR" in outcome.proof.failures[0]
    assert snapshot(good) == before
    assert names(list(tmp_path.glob("mini*"))) == [good.name, f"{good.name}.rejected"]
    assert partials(tmp_path) == []


def test_the_one_call_api_raises_for_a_rejected_bundle(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match=r"mini-onnxruntime-fp32\.rejected: golden samples, .*: SQNR"):
        dmformer.export(weights, options=options(tmp_path, tolerance=IMPOSSIBLE))
    assert Bundle.load(tmp_path / "mini-onnxruntime-fp32.rejected").manifest.proof


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"targets": ()}, UsageError),
        ({"targets": ("tpu",)}, UsageError),
        ({"targets": ("onnx", "tpu")}, UsageError),
        ({"size": (100, 100)}, UsageError),
        ({"size": (0, 32)}, UsageError),
        ({"batch": 0}, UsageError),
        ({"batch": 5000}, UsageError),
        ({"opset": 9}, UsageError),
        ({"device": "gpu"}, UsageError),
        ({"golden_images": 0}, UsageError),
        ({"max_images": 0}, UsageError),
        ({"data": Path("nowhere")}, DataError),
        ({"output": Path("/dev/null/x")}, OutputError),
    ],
)
def test_wrong_options_are_refused_before_anything_is_computed(
    weights: Path,
    labelled: Path,
    tmp_path: Path,
    changes: dict[str, object],
    error: type[DmformerError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_late(*_: object) -> None:
        raise AssertionError("work began")

    monkeypatch.setattr(road, "prepare", too_late)
    before = world(tmp_path)
    with pytest.raises(error):
        export_bundles(weights, options(tmp_path / "out", **{"data": labelled, **changes}))
    assert world(tmp_path) == before


def test_one_destination_that_exists_stops_all_targets(weights: Path, exported: Exported, tmp_path: Path) -> None:
    export_bundles(weights, options(tmp_path, opset=21))
    before = world(tmp_path)
    with pytest.raises(OutputError, match="exists already"):
        export_bundles(weights, options(tmp_path, targets=("onnx", "onnxruntime")))
    assert world(tmp_path) == before


def test_a_command_may_be_repeated_beside_another_target_and_makes_the_same(weights: Path, tmp_path: Path) -> None:
    export_bundles(weights, options(tmp_path))
    before = world(tmp_path)["folder"]
    again = export_bundles(weights, options(tmp_path, targets=("onnx", "onnxruntime")))
    assert before.items() <= world(tmp_path)["folder"].items()
    (again[1].bundle.path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"does not list: notes\.txt"):
        export_bundles(weights, options(tmp_path))


@pytest.mark.parametrize("package", ["torch", "onnxsim", "onnxruntime"])
def test_a_package_that_is_missing_is_named_with_the_command(
    package: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == package else found(name))
    with pytest.raises(MissingBackendError, match=f"needs {package}") as caught:
        export_bundles(weights, options(tmp_path / "out"))
    assert caught.value.hint == "pip install 'dmformer[export]'"
    assert not (tmp_path / "out").exists()


def test_classes_that_are_not_the_model_s(weights: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "eleven.npz", images=random_images(11), labels=np.arange(11))
    with pytest.raises(DataError, match="do not match the labels"):
        export_bundles(weights, options(tmp_path / "out", data=tmp_path / "eleven.npz"))
    assert not (tmp_path / "out").exists()


def test_what_was_left_open_is_said(weights: Path, labelled: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "flat.npz", images=random_images(3))
    embedded = open_sources(None, None, None, 50)
    assert any("embedded tiny DMFormer" in note for note in embedded.notes)
    assert any("embedded Fashion-MNIST test set" in note for note in embedded.notes)
    assert embedded.dataset is not None
    assert len(embedded.dataset) == 50
    silent = open_sources(weights, None, labelled, None)
    assert silent.notes == ()
    assert open_sources(weights, None, None, None).dataset is None
    flat = open_sources(weights, None, tmp_path / "flat.npz", None)
    assert flat.dataset is flat.samples
    assert len(flat.samples) == 3
    assert any("no labels" in note for note in flat.notes)


def test_golden_samples_are_spread_and_carry_what_is_needed(exported: Exported, checkpoint: Checkpoint) -> None:
    from dmformer.preprocessing import preprocess

    golden = Bundle.load(exported("onnxruntime")).golden()
    assert len(golden.images) == 6
    assert len(set(golden.names)) == 6
    assert golden.targets == (None,) * 6, "no answer is right for pictures of another kind"
    for image, tensor in zip(golden.images, golden.tensors, strict=True):
        np.testing.assert_array_equal(preprocess(image, checkpoint.preprocessing), tensor)


def test_the_embedded_checkpoint_is_known_by_its_bytes(exported: Exported) -> None:
    assert demonstration_of(Bundle.load(exported("onnxruntime")).manifest.source.sha256) is None
    assert assets.checkpoint().stat().st_size <= 10_000_000
    assert json.loads(json.dumps(sorted(dmformer.__all__))) == sorted(dir(dmformer))
