"""Typed graphs of the tiny network, and bundles for both libraries, made once."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from dmformer.bundle import Bundle
from dmformer.calibration.typed import scan, typed_graph
from dmformer.graph.qdq.sites import groups_of, kind_of
from dmformer.graph.qdq.tensorrt import emit_tensorrt
from dmformer.runtimes.tensorrt.bundles import make_bundle, tensorrt_family
from dmformer.runtimes.tensorrt.runtime import TensorRt
from tests.conftest import Exported
from tests.support import random_batch, scanned
from tests.tensorrt.helpers import Notes, parts, request_of


@pytest.fixture(scope="session")
def graphs(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """ONNX files by precision, and ``dynamic``: FP16 with an open batch."""
    folder = tmp_path_factory.mktemp("graphs")
    plain = onnx.load(str(exported("onnxruntime") / "model.onnx"))
    opened = onnx.load(str(exported("onnxruntime", dynamic=True) / "model.onnx"))
    batch = scanned(random_batch(4))
    groups = [group for group in groups_of(plain) if kind_of(group) not in ("dma.gate", "dma.sum", "ffn.gelu")]
    quantized = emit_tensorrt(plain, scan(plain, batch), groups)
    models = {
        "fp32": plain,
        "fp16": typed_graph(plain, batch, "fp16").model,
        "int8": typed_graph(quantized, batch, "int8").model,
        "dynamic": typed_graph(opened, batch, "fp16").model,
    }
    for name, model in models.items():
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))
    return {name: folder / f"{name}.onnx" for name in models}


@pytest.fixture(scope="session")
def rtx(exported: Exported, graphs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A finished TensorRT for RTX bundle. Not to be changed."""
    request = request_of(graphs["fp16"], tmp_path_factory.mktemp("rtx"))
    manifest, golden = parts(exported("onnxruntime"))
    return make_bundle(
        tensorrt_family("tensorrt-rtx"), request, manifest.model_copy(update={"target": "tensorrt-rtx"}), golden
    )


@pytest.fixture(scope="session")
def buildable(exported: Exported, graphs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A TensorRT bundle whose engine is to be built on a device. Not to be changed."""
    request = request_of(graphs["dynamic"], tmp_path_factory.mktemp("device"), opt_batch=4, max_batch=8)
    manifest, golden = parts(exported("onnxruntime", dynamic=True))
    family, notes = tensorrt_family("tensorrt"), Notes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TensorRt, "missing", lambda self: "TensorRT is not installed: pip install tensorrt")
        bundle = make_bundle(family, request, manifest.model_copy(update={"target": "tensorrt"}), golden, notes)
    assert notes.said[0] == "the engine was not built here: TensorRT is not installed: pip install tensorrt"
    return bundle
