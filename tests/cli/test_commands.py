"""Every command as a user types it: exit codes, one JSON document on stdout, people's text on stderr."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onnx import ModelProto
from PIL import Image

import dmformer
from dmformer import telemetry
from dmformer.bundle import Bundle
from dmformer.calibration.sensitivity import Sensitivity
from dmformer.cli import output
from dmformer.cli.doctor import _can
from dmformer.pipeline.doctor import TargetState
from dmformer.pipeline.trial import opened
from dmformer.targets import TARGETS as ROWS
from tests.support import TARGETS, invoke, names, random_images, run, world

Exported = Callable[..., Path]
Capture = pytest.CaptureFixture[str]

FIGURES = {
    "target", "precision", "executes", "path", "verified", "failures", "data", "images", "figures", "task",
    "agreement", "sqnr_db", "max_abs_error", "engine_bytes",
}  # fmt: skip


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "one.png", tmp_path / "two [b].jpg"]
    for path, image in zip(paths, random_images(2), strict=True):
        Image.fromarray(image).save(path)
    return paths


def document(text: str, schema: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    assert found["schema"] == schema
    return found


def test_export_prints_one_document_and_the_bundles_it_names_are_there(weights: Path, labelled: Path) -> None:
    targets = ["-t", "onnxruntime", "--target", "openvino"]
    done = run("export", weights, *targets, "--half", "--data", labelled, "--json", "-o", "out [x]")
    assert done.returncode == 0, done.stderr
    found = document(done.stdout, "dmformer.export/2")["bundles"]
    assert [record["target"] for record in found] == ["onnxruntime", "openvino"]
    for record in found:
        assert record.keys() >= FIGURES
        assert record["verified"] is True
        assert record["images"] == 12
        assert record["precision"] == "fp16"
        assert Bundle.load(record["path"]).manifest.target == record["target"]
        assert record["engine_bytes"] > 10_000
        assert record["path"] in done.stderr
    assert names(list(Path("out [x]").iterdir())) == ["mini-onnxruntime-fp16", "mini-openvino-fp16"]


def test_below_tolerance_is_exit_code_1_with_the_rejected_bundle_named(weights: Path, capsys: Capture) -> None:
    code, out, err = invoke(capsys, "export", weights, "--min-sqnr", "500", "--json", "-o", "out")
    assert code == 1
    record = document(out, "dmformer.export/2")["bundles"][0]
    assert record["verified"] is False
    assert record["path"] == "out/mini-onnxruntime-fp32.rejected"
    assert "SQNR" in record["failures"][0]
    assert record["failures"][0] in err
    assert names(list(Path("out").iterdir())) == ["mini-onnxruntime-fp32.rejected"]


def test_verify_is_a_gate(exported: Exported, labelled: Path, capsys: Capture) -> None:
    path = exported("onnxruntime")
    code, out, _ = invoke(capsys, "verify", path, "--data", labelled, "--json", "--threads", "1")
    record = document(out, "dmformer.verify/2")
    assert code == 0
    assert record.keys() >= FIGURES
    assert (record["images"], record["verified"], record["agreement"]) == (12, True, None)
    code, out, err = invoke(capsys, "verify", path, "--min-sqnr", "500", "--json")
    assert code == 1
    assert document(out, "dmformer.verify/2")["verified"] is False
    assert "SQNR" in err
    assert invoke(capsys, "verify", path)[:2] == (0, ""), "without --json nothing is on stdout"


def test_predict_names_classes_for_every_image(exported: Exported, pictures: list[Path], capsys: Capture) -> None:
    code, out, _ = invoke(capsys, "predict", exported("openvino"), *pictures, "-k", "3", "--json")
    assert code == 0
    found = document(out, "dmformer.predict/1")["images"]
    assert [image["path"] for image in found] == [str(path) for path in pictures]
    for image in found:
        shares = [guess["probability"] for guess in image["classes"]]
        assert shares == sorted(shares, reverse=True)
        assert len(shares) == 3
        assert image["classes"][0]["label"] == f"class {image['classes'][0]['index']}"
    code, out, _ = invoke(capsys, "predict", exported("openvino"), *pictures, "-k", "1")
    assert code == 0
    assert out.splitlines()[0] == str(pictures[0])
    assert found[0]["classes"][0]["label"] in out


def test_inspect_weights_an_onnx_file_a_bundle_and_a_preset(
    exported: Exported, weights: Path, tmp_path: Path, capsys: Capture
) -> None:
    bundle = exported("onnx")
    strange = tmp_path / "[/bold] folder"
    shutil.copytree(bundle, strange)
    for arguments, kind in (
        ((weights,), "weights"),
        (("--preset", "large", "--imgsz", "64"), "weights"),
        ((bundle / "model.onnx",), "onnx"),
        ((bundle,), "bundle"),
        ((strange,), "bundle"),
        ((strange / "model.onnx",), "onnx"),
    ):
        code, out, err = invoke(capsys, "inspect", *arguments, "--json")
        assert code == 0, err
        assert document(out, "dmformer.inspect/2")["kind"] == kind
        code, out, err = invoke(capsys, "inspect", *arguments)
        assert (code, out) == (0, "")
        assert len(err) > 200
    assert str(strange / "model.onnx") in err


@pytest.mark.parametrize("target", ROWS)
def test_a_sensitivity_is_titled_by_what_measures_it(
    target: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "openvino", lambda: sys.exit("OpenVINO"))
    monkeypatch.setattr(telemetry, "onnxruntime", lambda: sys.exit("ONNX Runtime on the CPU"))
    monkeypatch.setattr("dmformer.runtimes.ncnn.runtime.opened", lambda *given: sys.exit("ncnn"))
    with pytest.raises(SystemExit) as asked:
        opened(target, ModelProto())
    place = asked.value.code
    units = [Sensitivity("head", ("head",), 0.1, 0.5), Sensitivity("residual", ("a",), 0.0, 0.0, "float")]
    monkeypatch.setattr("dmformer.pipeline.studies.study_sensitivity", lambda *given: units)
    code, out, _ = invoke(capsys, "inspect", "--sensitivity", "--target", target, "--json")
    found = document(out, "dmformer.inspect/2")
    assert (code, found["target"], found["measured_in"]) == (0, target, place)
    code, _, err = invoke(capsys, "inspect", "--sensitivity", "--target", target)
    said = " ".join(err.split())
    assert f"INT8 for {target} costs and saves, measured in {place}" in said
    assert "head int8 10.0000 0.500 20.0000" in said and "residual float 0.0000 0.000 no integers there" in said


def test_doctor_tells_what_can_be_done(capsys: Capture) -> None:
    code, out, _ = invoke(capsys, "doctor", "--json")
    found = document(out, "dmformer.doctor/1")
    assert code == 0
    assert found["targets"].keys() == ROWS.keys()
    assert all(found["targets"][name]["missing"] is None for name in TARGETS)
    assert found["export"]["ready"] is True
    assert found["cores"] >= 1
    code, out, err = invoke(capsys, "doctor")
    assert (code, out) == (0, "")
    assert "openvino" in err


def test_the_version(capsys: Capture) -> None:
    assert invoke(capsys, "--version")[:2] == (0, f"{dmformer.__version__}\n")


@pytest.mark.parametrize("command", ["", "export", "verify", "predict", "inspect", "doctor"])
def test_help_shows_examples(command: str, capsys: Capture) -> None:
    code, out, _ = invoke(capsys, *filter(None, [command]), "--help")
    assert code == 0
    assert "Usage: dmformer" in out
    assert command in ("", "doctor") or f"dmformer {command}" in out


def test_the_words_of_ultralytics_users_work(weights: Path, labelled: Path, capsys: Capture) -> None:
    words = [
        "--imgsz",
        "64",
        "--batch",
        "2",
        "--dynamic",
        "--half",
        "--no-simplify",
        "--opset",
        "21",
        "--device",
        "cpu",
    ]
    code, out, err = invoke(capsys, "export", weights, *words, "--data", labelled, "--json", "--target", "onnx")
    assert code == 0, err
    bundle = Bundle.load(json.loads(out)["bundles"][0]["path"])
    assert bundle.path == Path("build/mini-onnx-fp16")
    assert bundle.manifest.input.shape == (None, 3, 64, 64)


def test_random_weights_stand_in_for_speed(capsys: Capture) -> None:
    arguments = ["--preset", "tiny", "--random-weights", "--imgsz", "32", "-o", "out"]
    code, out, err = invoke(capsys, "export", *arguments, "--json")
    assert code == 0, err
    assert json.loads(out)["bundles"][0]["path"] == "out/dmformer-tiny-onnxruntime-fp32"
    assert "random weights" in err


def test_sizes_are_in_units_that_people_read() -> None:
    assert [output.size_text(size) for size in (0, 1023, 1536, 5 << 20, 3 << 30)] == [
        "0 B", "1023 B", "1.5 KiB", "5.0 MiB", "3.0 GiB",
    ]  # fmt: skip


def test_reading_commands_leave_no_trace(exported: Exported, weights: Path, tmp_path: Path, capsys: Capture) -> None:
    shutil.copytree(exported("openvino"), tmp_path / "bundle")
    before = world(tmp_path)
    for arguments in (("verify", tmp_path / "bundle"), ("inspect", tmp_path / "bundle"), ("inspect", weights)):
        assert invoke(capsys, *arguments)[0] == 0
    assert world(tmp_path) == before


@pytest.mark.parametrize(
    ("exports", "made", "run", "state"),
    [
        (True, True, True, "ready"),
        (True, True, False, "made here, not run: it is not installed"),
        (True, False, True, "run here, not made: it is not installed"),
        (True, False, False, "it is not installed"),
        (False, True, False, "it is not installed"),
        (False, True, True, "ready"),
    ],
)
def test_doctor_tells_what_can_be_made_from_what_can_be_run(exports: bool, made: bool, run: bool, state: str) -> None:
    reason = "it is not installed: pip install 'dmformer[it]'"
    target = TargetState(missing=None if run else reason, missing_for_export=None if made else reason)
    shown, install = _can(target, exports)
    assert state in shown and (install == r"pip install 'dmformer\[it]'") is (state != "ready")
