"""Real engines by the real library, which needs no GPU to build them: TensorRT for RTX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from dmformer.bundle import Bundle
from dmformer.errors import EngineError, MissingBackendError, UsageError
from dmformer.runtimes.base import EngineReport, SessionOptions
from dmformer.runtimes.child import build_in_child
from dmformer.runtimes.registry import open_bundle
from dmformer.runtimes.tensorrt.bundles import make_bundle, tensorrt_family
from dmformer.runtimes.tensorrt.layers import EngineLayer, node_precision
from dmformer.runtimes.tensorrt.libraries import TENSORRT_RTX
from tests.tensorrt.helpers import Notes, needs_gpu, needs_rtx, request_of

pytestmark = needs_rtx


def build(onnx_file: Path, directory: Path, **options: object) -> EngineReport:
    return build_in_child("tensorrt-rtx", request_of(onnx_file, directory, **options))


def layers_in(directory: Path) -> list[EngineLayer]:
    def layer(entry: dict[str, Any]) -> EngineLayer:
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
        }
        return EngineLayer(**values)

    return [layer(entry) for entry in json.loads((directory / "layers.json").read_text())["layers"]]


@pytest.mark.parametrize(("precision", "executes"), [("fp32", "float32"), ("fp16", "float16")])
def test_an_engine_computes_in_the_precision_of_its_graph(
    graphs: dict[str, Path], tmp_path: Path, precision: str, executes: str
) -> None:
    report = build(graphs[precision], tmp_path / "out")
    assert report.executes == executes
    assert (tmp_path / "out" / "model.engine").stat().st_size > 10_000
    named = {node for layer in layers_in(tmp_path / "out") for node in layer.nodes}
    assert {"stem.conv1", "stages.0.0.dma.levels.2", "stages.3.0.ffn.conv2", "head"} <= named


def test_int8_layers_are_read_back_from_the_builder(graphs: dict[str, Path], tmp_path: Path) -> None:
    report = build(graphs["int8"], tmp_path / "out")
    assert "int8 (" in report.executes and "float16 (" in report.executes, report.executes
    found = node_precision(layers_in(tmp_path / "out"))
    assert found["stages.1.0.dma.expand"] == "int8"
    assert found["stages.1.0.dma.gate.expand"] == "float16", "the gate has no Q/DQ"


def test_an_open_batch_and_chosen_gpus(graphs: dict[str, Path], tmp_path: Path) -> None:
    chosen = {"opt_batch": 4, "max_batch": 8, "compute_capabilities": ["8.6", "8.9"]}
    report = build(graphs["dynamic"], tmp_path / "out", **chosen)
    assert report.options["built_for"] == "8.6, 8.9"


def test_the_same_graph_gives_the_same_engine(rtx: Bundle, graphs: dict[str, Path], tmp_path: Path) -> None:
    report = build(graphs["fp16"], tmp_path / "again")
    assert (tmp_path / "again" / "model.engine").read_bytes() == rtx.file("engine").read_bytes()
    assert report.not_deterministic == []


def test_a_bundle_holds_the_plain_engine_and_what_it_was_built_from(rtx: Bundle) -> None:
    manifest = Bundle.load(rtx.path).manifest
    roles = {entry.role for entry in manifest.files.values()}
    assert roles == {"engine", "graph", "build", "layers", "golden"}
    assert manifest.runtime.name == "tensorrt-rtx" and manifest.runtime.version.startswith("1.")
    assert manifest.precision.executes == "float16"
    onnx.checker.check_model(str(rtx.file("graph")))


def test_the_builder_tells_how_far_it_is(graphs: dict[str, Path], tmp_path: Path) -> None:
    notes = Notes()
    build_in_child("tensorrt-rtx", request_of(graphs["fp32"], tmp_path / "out"), notes)
    assert notes.steps == 100


def test_an_unsupported_node_is_named(tmp_path: Path) -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("x", "y")]
    odd = helper.make_graph([helper.make_node("Bernoulli", ["x"], ["y"], name="a.coin")], "odd", ends[:1], ends[1:])
    path = tmp_path / "odd.onnx"
    onnx.save(helper.make_model(odd, opset_imports=[helper.make_opsetid("", 20)]), str(path))
    with pytest.raises(EngineError, match=r"odd\.onnx: .* refuses it: node 'a\.coin' \(Bernoulli\), unsupported node"):
        build(path, tmp_path / "out")


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.onnx"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(EngineError, match=r"noise\.onnx: .* refuses it"):
        build(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"portable": True}, "--portable is not for TensorRT for RTX"),
        ({"dla_core": 0}, "cannot use a DLA"),
        ({"compute_capabilities": ["9.0"]}, r"cannot build for compute capability 9\.0"),
        ({"workspace_gib": 1000}, r"a workspace of 1000 GiB is larger than"),
        ({"min_batch": 4, "max_batch": 2}, "not in order"),
        ({"optimization_level": 9}, "optimization_level"),
    ],
)
def test_what_the_library_would_silently_ignore_is_refused(
    rtx: Bundle, graphs: dict[str, Path], tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        request = request_of(graphs["fp16"], tmp_path / "out", **options)
        make_bundle(tensorrt_family("tensorrt-rtx"), request, rtx.manifest, rtx.golden(), Notes())


def test_without_a_gpu_opening_says_so(rtx: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmformer.runtimes.tensorrt.session.gpus", lambda: ())
    with pytest.raises(EngineError, match="no NVIDIA GPU") as caught:
        open_bundle(rtx)
    assert caught.value.hint and "--target onnxruntime" in caught.value.hint


def test_libraries_that_do_not_load_are_a_missing_backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from dmformer.runtimes.tensorrt import loading

    monkeypatch.setattr(loading, "CARRIED", ("libnowhere.so.*",))
    with pytest.raises(MissingBackendError, match="installed but cannot be loaded") as caught:
        loading.load(TENSORRT_RTX)
    assert caught.value.hint == "pip install 'dmformer[tensorrt-rtx]'"


@needs_gpu
@pytest.mark.gpu
def test_an_engine_answers_like_pytorch(rtx: Bundle) -> None:
    golden = rtx.golden()
    with open_bundle(rtx, SessionOptions(device="cuda:0")) as session:
        for tensor, logits in zip(golden.tensors, golden.outputs, strict=True):
            assert session.run(tensor[None])["logits"] == pytest.approx(logits[None], abs=0.05)
