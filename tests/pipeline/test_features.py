"""``--task features``: the backbone alone, from any weights that have one, in every engine and in Python projects."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import dmformer
from dmformer.bundle import Bundle
from dmformer.embedding.project import embed
from dmformer.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dmformer.model.network import DMFormer
from dmformer.pipeline import trial
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.layer_errors import errors_of
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.weights_options import WeightsOptions
from dmformer.precision import Precision
from dmformer.preprocessing import preprocess_batch
from dmformer.runtimes.engine import open_engine
from dmformer.tasks.features import FeatureMaps
from tests.embedding.test_python import alone
from tests.support import ROOT, TINY, Command, invoke, one_line, random_images

PICTURE = ROOT / "examples" / "ankle_boot.png"
NAMES = ("c2", "c3", "c4", "c5")
Made = Callable[..., Bundle]


@pytest.fixture(scope="module")
def made(weights: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Gives the bundle of a target and precision, of a classifier's weights."""
    bundles: dict[tuple[str, Precision], Bundle] = {}

    def make(target: str, precision: Precision = "fp32") -> Bundle:
        together = ("onnxruntime", "openvino", "ncnn", *(() if precision == "int8" else ("coreml", "tensorrt")))
        if (target, precision) not in bundles:
            options = ExportOptions(
                targets=together, precision=precision, data=labelled, golden_images=6,
                weights=WeightsOptions(task="features"), output=tmp_path_factory.mktemp("bundles"),
            )  # fmt: skip
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(trial, "ROUNDS", 1)
                patch.setattr(trial, "SLICE_S", 0.001)
                for outcome in export_bundles(weights, options):
                    assert outcome.proof.passed, outcome.proof.failures
                    bundles[outcome.bundle.manifest.target, precision] = outcome.bundle
        return bundles[target, precision]

    return make


@pytest.mark.parametrize("target", ["onnxruntime", "openvino", "ncnn"])
def test_an_engine_gives_the_four_maps_of_pytorch(target: str, made: Made, reference: DMFormer) -> None:
    bundle, images = made(target), list(random_images(3))
    assert [spec.name for spec in bundle.manifest.outputs] == [*NAMES]
    with dmformer.load(bundle) as backbone:
        answers = backbone.predict(images)
    with torch.inference_mode():
        right = reference.forward_features(torch.from_numpy(preprocess_batch(images, bundle.manifest.preprocessing)))
    for row, answer in enumerate(answers):
        assert isinstance(answer, dmformer.Features)
        assert [*answer.maps] == [*NAMES]
        for given, expected in zip(answer.maps.values(), right, strict=True):
            assert given.shape == expected.shape[1:]
            assert np.allclose(given, expected[row].numpy(), atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize(("target", "precision"), [
    ("onnxruntime", "int8"), ("openvino", "int8"), ("ncnn", "int8"),
    ("coreml", "fp16"), ("tensorrt", "fp16"), ("openvino", "fp16"),
])  # fmt: skip
def test_each_map_is_proven(target: str, precision: Precision, made: Made) -> None:
    proof = made(target, precision).manifest.proof
    assert proof is not None
    floor = 20 if precision == "int8" else 25
    for comparison in proof.comparisons:
        assert len(comparison.sqnr_db_by_output) == 4
        ratios = [noise for noise in comparison.sqnr_db_by_output if noise is not None]
        assert comparison.sqnr_db == min(ratios) > floor
        assert comparison.agreement is None
    assert any("SQNR by output in dB: c2 " in note for note in proof.notes)


@pytest.mark.parametrize("target", ["onnxruntime", "openvino", "ncnn"])
def test_the_error_of_every_layer_is_told_to_the_last_map(target: str, made: Made, weights: Path) -> None:
    errors = errors_of(made(target, "int8"), weights, None)
    nodes = [layer.node for layer in errors.layers]
    assert {f"stages.{stage}.0.add.1" for stage in range(4)} <= {*nodes}
    assert "head" not in nodes


def test_any_size_gives_maps_of_that_size(weights: Path, labelled: Path, tmp_path: Path, reference: DMFormer) -> None:
    options = ExportOptions(
        targets=("onnxruntime",), dynamic_size=True, data=labelled, golden_images=2, output=tmp_path,
        weights=WeightsOptions(task="features"),
    )  # fmt: skip
    (outcome,) = export_bundles(weights, options)
    assert outcome.proof.passed, outcome.proof.failures
    assert [spec.shape[2:] for spec in outcome.bundle.manifest.outputs] == [(None, None)] * 4
    tensor = np.random.default_rng(0).standard_normal((1, 3, 64, 96)).astype(np.float32)
    with open_engine(outcome.bundle) as engine, torch.inference_mode():
        for given, right in zip(
            engine.run(tensor).several, reference.forward_features(torch.from_numpy(tensor)), strict=True
        ):
            assert given.shape == tuple(right.shape)
            assert np.allclose(given, right.numpy(), atol=1e-4 * float(right.abs().max()))


def without(checkpoint: Checkpoint, *parts: str) -> dict[str, torch.Tensor]:
    return {name: value for name, value in checkpoint.state.items() if not name.startswith(parts)}


def as_safetensors(checkpoint: Checkpoint, folder: Path) -> Path:
    """With the configuration of the whole classifier in its header, as a trainer that saves a backbone leaves it."""
    save_checkpoint(checkpoint, folder / "whole.safetensors")
    with safe_open(folder / "whole.safetensors", "pt") as file:
        said = file.metadata()
    save_file(without(checkpoint, "head."), folder / "backbone.safetensors", said)
    return folder / "backbone.safetensors"


def as_torch(checkpoint: Checkpoint, folder: Path) -> Path:
    torch.save({"state_dict": without(checkpoint, "head.", "norm.")}, folder / "backbone.pt")
    return folder / "backbone.pt"


def as_part(checkpoint: Checkpoint, folder: Path) -> Path:
    state = {f"backbone.{name}": value for name, value in without(checkpoint, "head.").items()}
    torch.save(state, folder / "part.pth")
    return folder / "part.pth"


@pytest.mark.parametrize("write", [as_safetensors, as_torch, as_part])
def test_weights_without_a_head_are_a_backbone(
    write: Callable[[Checkpoint, Path], Path], checkpoint: Checkpoint, tmp_path: Path
) -> None:
    found = load_checkpoint(write(checkpoint, tmp_path))
    assert isinstance(found.config.task, FeatureMaps)
    assert any("there is no head: it is a backbone" in note for note in found.notes)
    assert found.labels is None
    assert {*found.state} == {*without(checkpoint, "head.", "norm.")}
    batch = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        for own, right in zip(found.build()(batch), checkpoint.build().forward_features(batch), strict=True):
            assert torch.equal(own, right)


def test_a_backbone_exports_without_naming_the_task(checkpoint: Checkpoint, tmp_path: Path, command: Command) -> None:
    out, err = command(
        "export", as_torch(checkpoint, tmp_path), "--imgsz", "32", "-t", "onnx", "-o", tmp_path, "--json"
    )
    (record,) = json.loads(out)["bundles"]
    assert record["task"] == "features" and record["verified"]
    assert "there is no head: it is a backbone" in " ".join(err.split())
    graph = onnx.load(next(Path(record["path"]).glob("*.onnx")))
    assert [value.name for value in graph.graph.output] == [*NAMES]


def test_a_head_that_is_not_whole_is_no_backbone(checkpoint: Checkpoint, tmp_path: Path) -> None:
    torch.save(without(checkpoint, "head.bias"), tmp_path / "half.pt")
    with pytest.raises(dmformer.errors.CheckpointError, match=r"missing head\.bias") as raised:
        load_checkpoint(tmp_path / "half.pt")
    assert "Its head is not whole" in (raised.value.hint or "")


def test_a_segmenter_has_a_backbone_too(segmenter_weights: Path, command: Command) -> None:
    out, err = command("inspect", segmenter_weights, "--task", "features", "--json")
    document = json.loads(out)
    assert document["config"]["head"] == {"kind": "features", "classes": 0, "widths": [*TINY.widths]}
    assert "tensors of the head and its norm are left out" in err + " ".join(document["notes"])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (["WEIGHTS", "--task", "features", "--argmax"], "--argmax does nothing for features"),
        (["BACKBONE", "--task", "segmentation"], "its head is features, which is for features, not for segmentation"),
        (["BACKBONE", "--labels", "LABELS"], "2 labels for 0 classes"),
    ],
)
def test_what_a_backbone_cannot_is_one_line(
    line: list[str], problem: str, weights: Path, checkpoint: Checkpoint, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    files = {"WEIGHTS": weights, "BACKBONE": as_torch(checkpoint, tmp_path), "LABELS": tmp_path / "names.txt"}
    code, _, err = invoke(capsys, "export", *(files.get(word, word) for word in line), "--output", tmp_path / "out")
    assert code == 2
    assert problem in one_line(err)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_a_python_project_gives_the_maps(target: str, made: Made, tmp_path: Path) -> None:
    project = embed(made(target, "int8"), "python", tmp_path / "project").path
    tested = alone(project, "self_test.py")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert [line.split(":")[1].strip() for line in tested.stdout.splitlines()[:4]] == [*NAMES]
    done = alone(project, "extract.py", PICTURE, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out" / "ankle_boot.png.npz") as file, dmformer.load(made(target, "int8")) as backbone:
        (answer,) = backbone.predict(PICTURE)
        for name, map_ in answer.maps.items():
            assert np.allclose(file[name], map_, atol=1e-5)


def test_a_python_project_names_the_map_that_differs(made: Made, tmp_path: Path) -> None:
    project = embed(made("onnxruntime"), "python", tmp_path / "project").path
    for sample in (project / "golden").glob("*.logits.f32"):
        values = np.fromfile(sample, np.float32)
        values[:100] *= 1.5  # of the first map
        values.tofile(sample)
    tested = alone(project, "self_test.py")
    assert tested.returncode == 1
    assert "engine: c2: a value differs" in tested.stdout and "c3: a value" not in tested.stdout


@pytest.mark.parametrize("language", ["cpp", "web"])
def test_other_languages_say_that_they_have_no_sources(language: str, made: Made, tmp_path: Path) -> None:
    with pytest.raises(dmformer.errors.UsageError, match="is for features, which"):
        embed(made("onnxruntime"), language, tmp_path / "project")
    assert not (tmp_path / "project").exists()


def test_the_command_line_shows_each_map(made: Made, command: Command) -> None:
    out, _ = command("predict", made("onnxruntime").path, PICTURE, "--json")
    (image,) = json.loads(out)["images"]
    assert [*image["maps"]] == [*NAMES]
    assert image["maps"]["c5"]["shape"] == [16, 1, 1]
    assert len(image["lines"]) == 4
