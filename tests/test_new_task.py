"""A task that nobody has seen: the page that says how one is added, executed and taken through the commands."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from dmformer.bundle import Bundle
from dmformer.model.checkpoint import save_checkpoint
from dmformer.model.random_weights import random_checkpoint
from dmformer.prediction.classifier import Classifier
from dmformer.prediction.predictor import Predictor
from dmformer.tasks.registry import TASKS
from tests.support import CLASSES, TINY, Command, added_by, invoke, one_line, random_images


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The file and the row of the page."""
    with added_by("new-task.md", TASKS, tmp_path_factory.mktemp("added")) as name:
        yield import_module(name)


@pytest.fixture(scope="module")
def dense(places: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a network with the page's head."""
    config = TINY.model_copy(update={"head": places.PlacesHead(classes=CLASSES)})
    path = tmp_path_factory.mktemp("weights") / "dense.safetensors"
    save_checkpoint(random_checkpoint(config, size=32, name="dense"), path)
    return path


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    Image.fromarray(random_images(1)[0]).save(path)
    return path


def test_one_file_and_one_row_are_enough(
    dense: Path, command: Command, labelled: Path, picture: Path, tmp_path: Path
) -> None:
    out, err = command(
        "export", dense, "-t", "onnxruntime", "-t", "openvino", "-o", tmp_path, "--data", labelled, "--json"
    )
    assert "right places" in err
    for record in json.loads(out)["bundles"]:
        assert (record["task"], set(record["figures"])) == ("places", {"places"})
    bundle = tmp_path / "dense-onnxruntime-fp32"
    comparison = Bundle.load(bundle).manifest.proof.comparisons[-1]  # type: ignore[union-attr]
    assert (comparison.images, comparison.decisions) == (12, 12 * 8 * 8)

    command("verify", bundle)
    answered = json.loads(command("predict", bundle, picture, "--json")[0])["images"][0]
    assert 0 < sum(answered["shares"].values()) <= 1.0001
    assert "dense" in command("inspect", bundle)[1]
    parts = {part["name"]: part["parameters"] for part in json.loads(command("inspect", dense, "--json")[0])["parts"]}
    assert parts["head"] > 0

    brief = ("--duration", "0.05", "--launches", "1", "--warmup", "0")
    measured = tmp_path / "bench.json"
    command("bench", bundle, "--weights", dense, *brief, "-o", measured)
    page = tmp_path / "report.html"
    command("report", page, measured, bundle)
    assert "right places %" in page.read_text()


def test_int8_with_calibrated_ranges_holds_the_floor(
    dense: Path, command: Command, labelled: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images.npz"
    np.savez(images, images=random_images(64))
    out, _ = command(
        "export", dense, "--int8", "--calibration", images, "--images", "64", "--data", labelled,
        "-o", tmp_path, "--json",
    )  # fmt: skip
    (record,) = json.loads(out)["bundles"]
    assert record["verified"] and record["sqnr_db"] >= 20


def test_a_project_in_python_gives_its_outputs(dense: Path, command: Command, picture: Path, tmp_path: Path) -> None:
    command("export", dense, "-o", tmp_path)
    bundle, project = tmp_path / "dense-onnxruntime-fp32", tmp_path / "project"
    command("embed", bundle, "--lang", "python", "-o", project)
    for program in (["self_test.py"], ["predict.py", str(picture), "--output", "."]):
        done = subprocess.run([sys.executable, *program], cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    outputs = np.load(project / "picture.png.npy")
    assert outputs.shape == (CLASSES, 8, 8)
    with Predictor(bundle) as predictor:
        (answer,) = predictor.predict(picture)
    (best, *_) = answer
    assert best == str(np.bincount(outputs.argmax(0).ravel()).argmax())


def test_what_only_one_task_has_is_refused_in_one_line_for_another(
    dense: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dmformer.errors import UsageError

    invoke(capsys, "export", dense, "-o", tmp_path)
    bundle = tmp_path / "dense-onnxruntime-fp32"
    code, _, err = invoke(capsys, "embed", bundle, "--lang", "cpp", "-o", tmp_path / "project")
    assert code == 2 and "is for places, which cpp has no sources for" in one_line(err)
    with Classifier(bundle) as classifier, pytest.raises(UsageError, match="is for places"):
        classifier.predict(picture)


def test_a_head_that_no_task_knows_is_refused_in_one_line(
    dense: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(TASKS, "places")
    code, _, err = invoke(capsys, "export", dense)
    assert code == 2 and "the head is 'places'" in one_line(err)
