"""``dmformer export`` for NVIDIA's libraries: which images are scanned, what is told, and what a bundle shows later."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dmformer import assets
from dmformer.bundle import Bundle
from dmformer.data.open import open_dataset
from dmformer.evaluation.layers.engine import asked_for, engine_line, parts_of_engine
from dmformer.pipeline.calibrating import READ_BATCH, images_to_scan
from dmformer.pipeline.options import Int8Options
from dmformer.progress import Silent
from dmformer.runtimes.inspection.registry import get_inspector
from dmformer.runtimes.inspection.tensorrt import layer_times
from dmformer.runtimes.tensorrt.gpu import gpus
from dmformer.runtimes.tensorrt.layers import Description, EngineLayer, read_description
from tests.support import edit_manifest, invoke, one_line, random_images, run
from tests.tensorrt.helpers import needs_rtx


def test_ranges_are_scanned_on_the_calibration_images(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "images.npz", images=random_images(20))
    given = ("--calibration", tmp_path / "images.npz")
    code, _, err = invoke(capsys, "export", weights, "-t", "tensorrt", "--half", *given, "-o", tmp_path / "out")
    assert code == 0, err
    assert "ranges of all values looked at on 20 images" in err


def test_scanned_images_are_read_in_small_batches(weights: Path, tmp_path: Path) -> None:
    from dmformer.model.checkpoint import load_checkpoint

    np.savez(tmp_path / "images.npz", images=random_images(40))
    spec = load_checkpoint(weights).preprocessing
    found = images_to_scan(spec, open_dataset(tmp_path / "images.npz"), None, Int8Options(images=33), Silent())
    assert found is not None and found.count == 33
    for _ in range(2):
        assert [len(batch) for batch in found.batches()] == [READ_BATCH, READ_BATCH, 1], "every pass starts anew"
    assert images_to_scan(spec, None, None, Int8Options(), Silent()) is None


@needs_rtx
def test_int8_tells_what_became_of_each_part(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = (
        "--calibration",
        assets.calibration_images(),
        "--images",
        "16",
        "--max-drop",
        "100",
        "--min-agreement",
        "0.5",
    )
    code, _, err = invoke(capsys, "export", weights, "-t", "tensorrt-rtx", "--int8", *options, "-o", tmp_path)
    assert code == 0, err
    told = next(line for line in err.splitlines() if "computes in" in line)
    assert "int8: DMA expand" in told and "float16: " in told and "DMA levels" in told
    assert "dmformer build times on the device" in err
    path = tmp_path / "mini-tensorrt-rtx-int8"
    code, out, err = invoke(capsys, "inspect", path, "--json")
    shown = {part["part"]: part for part in json.loads(out)["engine_precision"]}
    assert shown["DMA expand"]["asked"] == "int8" and set(shown["DMA expand"]["layers"]) == {"int8"}
    assert shown["DMA levels"]["asked"] == "float" and set(shown["DMA levels"]["layers"]) == {"float16"}
    assert shown["DMA gate"]["asked"] == "float"
    code, _, err = invoke(capsys, "inspect", path)
    assert "convolutions and matrix products" in err and "alternative.onnx" in err


@needs_rtx
def test_engines_of_one_precision_are_told_in_a_word(rtx: Bundle) -> None:
    line = engine_line(rtx)
    assert line is not None and "computes in float16: stem, DMA expand, DMA levels" in line
    assert all(part.asked == "float" for part in parts_of_engine(rtx))


def test_the_narrowest_group_decides() -> None:
    groups = {"stages.0.0.ffn": "int8", "stages.0.0.ffn.gelu": "float", "head": "int8"}
    assert asked_for("stages.0.0.ffn.conv1", groups) == "int8"
    assert asked_for("stages.0.0.ffn.gelu.x", groups) == "float"
    assert asked_for("headless", groups) == "float"


def test_bundles_without_a_description_show_none(buildable: Bundle) -> None:
    assert parts_of_engine(buildable) == [] and engine_line(buildable) is None


def test_profiled_layers_are_named_by_what_multiplies() -> None:
    layers = (
        EngineLayer("a + b", "CaskConvolution", ("int8",), ("int8",), ("float16",), ("stem.relu", "stem.conv1")),
        EngineLayer("r", "Reformat", ("float16",), (), ("int8",), ()),
    )
    runs = [[("a + b", ms), ("r", 0.1), ("unknown", 0.2)] for ms in (9.0, 8.0, 1.0, 3.0, 2.0)]
    first, second, third = layer_times(Description(layers, ("stem.conv1",)), runs)
    assert (first.name, first.kind, first.precision, first.ms) == ("stem.conv1", "CaskConvolution", "int8", 2.0)
    assert (second.name, second.kind) == ("r", "Reformat")
    assert (third.name, third.precision, third.ms) == ("unknown", "unknown", 0.2)


def test_inspecting_asks_for_a_gpu(rtx: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    from dmformer.errors import EngineError

    monkeypatch.setattr("dmformer.runtimes.tensorrt.session.gpus", lambda: ())
    inspector = get_inspector("tensorrt-rtx")
    with pytest.raises(EngineError, match="no NVIDIA GPU"):
        inspector.profile(rtx, [], 0)
    with pytest.raises(EngineError, match="shows no inner tensors"):
        inspector.tap(rtx, [])
    assert inspector.products(8, 1) == {}
    assert read_description(rtx.file("layers")).compute_nodes


@needs_rtx
@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("verify",), "no NVIDIA GPU"),
        (("bench", "--duration", "0.1"), "no NVIDIA GPU"),
    ],
)
def test_running_without_a_gpu_is_one_line(
    rtx: Bundle,
    command: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("dmformer.runtimes.tensorrt.session.gpus", lambda: ())
    code, _, err = invoke(capsys, command[0], rtx.path, *command[1:])
    assert code == 2 and message in one_line(err)


@needs_rtx
def test_an_engine_that_was_cut_off_is_told_before_it_is_opened(
    rtx: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cut"
    shutil.copytree(rtx.path, path)
    content = (path / "model.engine").read_bytes()
    (path / "model.engine").write_bytes(content[: len(content) // 2])
    code, _, err = invoke(capsys, "verify", path)
    assert code == 2 and "model.engine: differs from what was exported (SHA-256)" in one_line(err)


@needs_rtx
def test_engines_of_another_version_or_gpu_and_devices_that_are_not_there(
    rtx: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dmformer.runtimes.tensorrt.gpu import Gpu
    from tests.tensorrt.helpers import RTX_4090

    path = tmp_path / "other"
    shutil.copytree(rtx.path, path)
    edit_manifest(path, lambda document: document["runtime"].update(version="1.3.0"))
    monkeypatch.setattr("dmformer.runtimes.tensorrt.session.gpus", lambda: (RTX_4090,))
    code, _, err = invoke(capsys, "verify", path)
    assert code == 2 and "the engine was built by TensorRT for RTX 1.3.0" in one_line(err)
    assert f"dmformer build {path}" in err
    code, _, err = invoke(capsys, "verify", rtx.path, "--device", "cuda:3")
    assert code == 2 and "there is no GPU 3" in one_line(err) and "cuda:0 (GeForce RTX 4090)" in err
    monkeypatch.setattr("dmformer.runtimes.tensorrt.session.gpus", lambda: (Gpu("H100", "9.0", "13.0", 1, False),))
    code, _, err = invoke(capsys, "verify", rtx.path)
    assert code == 2 and "H100 has 9.0" in one_line(err) and "dmformer build" in err


REGISTER = """
import onnxruntime, onnxruntime_ep_nv_tensorrt_rtx as plugin
try:
    onnxruntime.register_execution_provider_library("nv", plugin.get_library_path())
except Exception as error:
    print(" ".join(str(error).split()))
"""


@needs_rtx
@pytest.mark.skipif(bool(gpus()), reason="this machine has a driver, so the plugin registers")
def test_onnx_runtime_s_plugin_needs_a_driver_even_to_be_registered() -> None:
    """Why engines are built and opened by the library itself (docs/tensorrt.md)."""
    pytest.importorskip("onnxruntime_ep_nv_tensorrt_rtx")
    assert "libcuda.so.1" in run(code=REGISTER).stdout
