"""The on-device road: a bundle without an engine, ``dmformer build``, and the numerical twin in its place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest

from dmformer.bundle import Bundle
from dmformer.errors import EngineError, UsageError
from dmformer.evaluation.tolerances import DEFAULTS
from dmformer.evaluation.verify import verify
from dmformer.export.twin import twin_bundle
from dmformer.runtimes.registry import open_bundle
from dmformer.runtimes.tensorrt.gpu import gpus
from dmformer.runtimes.tensorrt.runtime import TensorRt, TensorRtForRtx, family_of, plan_in
from tests.conftest import Exported
from tests.support import invoke, one_line, snapshot
from tests.tensorrt.helpers import needs_rtx


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


def test_the_instructions_name_both_ways(buildable: Bundle) -> None:
    lines = TensorRt().instructions(buildable.manifest, plan_in(buildable))
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
    code, _, err = invoke(capsys, "build", buildable.path, "--trtexec", "newest")
    assert code == 2 and "is no version" in one_line(err)


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
        family_of("openvino")


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
    reason = TensorRtForRtx().unable_to_build()
    assert reason is None or "not installed" in reason
