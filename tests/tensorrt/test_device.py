"""The on-device road: a bundle without an engine, ``dmformer build``, and the numerical twin in its place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
from typer.main import get_command

from dmformer.bundle import Bundle
from dmformer.cli.app import app
from dmformer.errors import EngineError, UsageError
from dmformer.evaluation.latency.candidates import runnable
from dmformer.evaluation.tolerances import DEFAULTS
from dmformer.evaluation.verify import verify
from dmformer.pipeline.option_groups import NVIDIA
from dmformer.pipeline.twins import twin_bundle
from dmformer.runtimes.registry import open_bundle
from dmformer.runtimes.tensorrt import runtime, session
from dmformer.runtimes.tensorrt.bundles import instructions, plan_in, tensorrt_family
from dmformer.runtimes.tensorrt.gpu import gpus
from dmformer.runtimes.tensorrt.runtime import TensorRt
from tests.conftest import Exported
from tests.support import invoke, one_line, snapshot, with_fields
from tests.tensorrt.helpers import ORIN, needs_rtx


def test_a_buildable_bundle_is_whole_and_has_no_engine(buildable: Bundle) -> None:
    manifest = Bundle.load(buildable.path).manifest
    assert {entry.role for entry in manifest.files.values()} == {"graph", "build", "golden"}
    assert manifest.runtime.version == "not built" and manifest.precision.executes == "not built here"
    assert plan_in(buildable).batches == (1, 4, 8)


def test_its_engine_cannot_be_opened(buildable: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TensorRt, "missing", lambda self: None)
    with pytest.raises(EngineError, match="its engine is not built yet") as caught:
        open_bundle(buildable)
    assert caught.value.hint == f"build it on this machine: dmformer build {buildable.path}"


@pytest.mark.parametrize("reason", ["not built yet", "no NVIDIA GPU", "was built by TensorRT", "not installed"])
def test_a_bundle_that_cannot_run_here_is_left_out_of_a_measurement(
    reason: str, buildable: Bundle, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, absent = Bundle.load(exported("onnxruntime")), reason == "not installed"
    monkeypatch.setattr(TensorRt, "missing", lambda self: "TensorRT is not installed: pip" if absent else None)
    monkeypatch.setattr(session, "gpus", lambda: () if reason == "no NVIDIA GPU" else (ORIN,))
    monkeypatch.setattr(runtime, "load", lambda library: SimpleNamespace(version="10.9.0"))
    if reason != "not built yet":
        entry = next(iter(buildable.manifest.files.values()))
        files = {**buildable.manifest.files, "model.engine": entry.model_copy(update={"role": "engine"})}
        other = buildable.manifest.runtime.model_copy(update={"version": "10.3.0"})
        buildable = with_fields(buildable, files=files, runtime=other)
    fitting, (line,) = runnable([plain, buildable])
    assert fitting == [plain]
    assert line.startswith(f"{buildable.path.name}: left out: ") and reason in line


def test_the_instructions_name_both_ways(buildable: Bundle) -> None:
    lines = instructions(tensorrt_family("tensorrt"), buildable.manifest, plan_in(buildable))
    assert lines[0] == "on the device: dmformer build BUNDLE"
    assert "TensorRT 10.x: trtexec" in lines[1] and "--stronglyTyped" in lines[1]
    assert "TensorRT 11.x: trtexec" in lines[2] and "--stronglyTyped" not in lines[2]


def test_the_twin_is_verified_in_its_place(buildable: Bundle, tmp_path: Path) -> None:
    before = snapshot(buildable.path)
    twin = twin_bundle(buildable.manifest, buildable.golden(), onnx.load(str(buildable.file("graph"))), tmp_path)
    proof = verify(twin, tolerance=DEFAULTS["fp16"]).model_copy(update={"by": "twin"})
    assert proof.passed, proof.failures
    comparison = proof.comparisons[0]
    assert comparison.max_abs_error and comparison.max_abs_error < 1e-2 * max(1.0, comparison.reference_scale or 0)
    assert snapshot(buildable.path) == before


def test_build_prints_nvidia_s_own_command(buildable: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = invoke(capsys, "build", buildable.path, "--trtexec", "10.3", "--workspace", "2")
    assert code == 0 and out.startswith("trtexec --onnx=") and "--memPoolSize=workspace:2048M" in out


@pytest.mark.parametrize("version", ["newest", "10.²", "10." + "9" * 5000, "9" * 5000, "10.3rc1", "10..3", ""])
def test_a_version_that_is_none(buildable: Bundle, capsys: pytest.CaptureFixture[str], version: str) -> None:
    code, out, err = invoke(capsys, "build", buildable.path, "--trtexec", version)
    assert (code, out) == (2, "") and "is no version" in one_line(err) and len(err) < 300


NVIDIA_OPTIONS = {
    "--workspace": ("nan", "inf", "-1", "2"),
    "--opt-level": ("0", "1"),
    "--min-batch": ("1",),
    "--opt-batch": ("1",),
    "--max-batch": ("1",),
    "--min-imgsz": ("32",),
    "--max-imgsz": ("64",),
    "--portable": (),
    "--compute-capability": ("8.6",),
    "--dla": ("0",),
    "--timing-cache": ("cache",),
}


@pytest.mark.parametrize("option", NVIDIA_OPTIONS)
@pytest.mark.parametrize("targets", [("onnxruntime",), ("openvino", "onnx"), ("coreml",)])
def test_other_targets_take_no_option_of_nvidia_s(
    option: str, targets: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [word for target in targets for word in ("--target", target)]
    for words in [[option, value] for value in NVIDIA_OPTIONS[option]] or [[option]]:
        code, out, err = invoke(capsys, "export", *named, *words, "-o", tmp_path / "out")
        assert (code, out) == (2, "") and f"{option} belongs to engines for NVIDIA's libraries" in one_line(err)
    assert not (tmp_path / "out").exists()


def test_every_option_of_nvidia_s_panel_is_asked_for() -> None:
    panel = {
        parameter.opts[0]
        for parameter in get_command(app).commands["export"].params  # type: ignore[attr-defined]
        if getattr(parameter, "rich_help_panel", None) == NVIDIA
    }
    assert panel == set(NVIDIA_OPTIONS)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "0", "1e300"])
def test_a_workspace_that_is_none_is_refused_before_anything_is_made(
    buildable: Bundle, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(buildable.path)
    for words in (("export", "--target", "tensorrt", "-o", tmp_path / "out"), ("build", buildable.path)):
        code, out, err = invoke(capsys, *words, f"--workspace={value}")
        assert (code, out) == (2, "") and "workspace_gib" in one_line(err)
        assert "building" not in err
    assert snapshot(buildable.path) == before and not (tmp_path / "out").exists()


@pytest.mark.skipif(bool(gpus()), reason="this machine has a GPU to try an engine on")
@pytest.mark.parametrize("target", ["tensorrt", "tensorrt-rtx"])
@pytest.mark.parametrize("device", ["cuda:7", "cuda", "gpu:0", "abacus"])
def test_a_device_that_would_go_unused_is_refused(
    target: str, device: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = invoke(capsys, "export", "--target", target, "--device", device, "-o", tmp_path / "out")
    assert (code, out) == (2, "") and f"--device {device} names where an engine is tried" in one_line(err)
    assert not (tmp_path / "out").exists()


def test_a_device_reaches_the_gpus_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TensorRt, "unable_to_run", lambda self: None)
    monkeypatch.setattr("dmformer.runtimes.tensorrt.session.gpus", lambda: (ORIN,))
    for device in ("cpu", "cuda:0", "0"):
        tensorrt_family("tensorrt").check_device(device)
    with pytest.raises(UsageError, match="there is no GPU 7"):
        tensorrt_family("tensorrt").check_device("cuda:7")


def test_build_without_the_library_says_what_to_install(
    buildable: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TensorRt, "missing", lambda self: "TensorRT is not installed: pip install tensorrt")
    before = snapshot(buildable.path)
    code, _, err = invoke(capsys, "build", buildable.path)
    assert code == 2 and "TensorRT is not installed" in one_line(err) and "pip install tensorrt" in err
    assert snapshot(buildable.path) == before


@pytest.mark.skipif(bool(gpus()), reason="this machine has a GPU, so TensorRT would build")
def test_build_without_a_gpu_says_where_to_run_it(
    buildable: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TensorRt, "missing", lambda self: None)
    code, _, err = invoke(capsys, "build", buildable.path)
    assert code == 2 and "no NVIDIA GPU" in one_line(err) and "on the device" in err


def test_other_bundles_have_nothing_to_build(exported: Exported, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = invoke(capsys, "build", exported("onnxruntime"))
    assert code == 2 and "a bundle for onnxruntime has nothing to build" in one_line(err)
    with pytest.raises(UsageError):
        tensorrt_family("openvino")


@pytest.mark.skipif(bool(gpus()), reason="this machine has a GPU, so the engine would be verified too")
@needs_rtx
def test_build_makes_another_engine_in_the_place_of_the_bundle(
    rtx: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bundle"
    shutil.copytree(rtx.path, path)
    code, out, err = invoke(capsys, "build", path, "--compute-capability", "8.9", "--opt-level", "0", "--json")
    assert code == 0, err
    assert json.loads(out)["verified"] is None and "not verified here: this machine has no NVIDIA GPU" in err
    made = Bundle.load(path)
    assert made.manifest.runtime.options["built_for"] == "8.9" and plan_in(made).optimization_level == 0
    assert made.file("graph").read_bytes() == rtx.file("graph").read_bytes()
    assert [entry.name for entry in tmp_path.iterdir() if "partial" in entry.name] == []


@needs_rtx
def test_a_build_that_fails_harms_nothing(
    rtx: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bundle"
    shutil.copytree(rtx.path, path)
    before = snapshot(path)
    code, _, err = invoke(capsys, "build", path, "--workspace", "900")
    assert code == 2 and "a workspace of 900 GiB is larger than" in one_line(err)
    code, _, err = invoke(capsys, "build", path, "--compute-capability", "9.0")
    assert code == 2 and "cannot build for compute capability 9.0" in one_line(err)
    assert snapshot(path) == before


def test_rtx_needs_no_gpu_to_build() -> None:
    reason = tensorrt_family("tensorrt-rtx").unable_to_build()
    assert reason is None or "not installed" in reason
