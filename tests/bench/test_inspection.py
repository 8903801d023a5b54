"""Looking into the runtimes: profiles, inner tensors, matrix products, and the bytes of ONNX."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from dmformer.bundle import Bundle
from dmformer.errors import EngineError, UsageError
from dmformer.evaluation.latency.settings import BenchSettings
from dmformer.evaluation.layers.profile import by_part, profile
from dmformer.evaluation.metrics import ratio_db
from dmformer.evaluation.per_layer import LayerError, energies, first_jump, layer_errors, products, tap_points
from dmformer.model.checkpoint import Checkpoint
from dmformer.pipeline.layer_errors import errors_of, torch_tap
from dmformer.runtimes import onnx_wire
from dmformer.runtimes.inspection.base import integer_factors, real_factors
from dmformer.runtimes.inspection.onnx_runtime import layer_times
from dmformer.runtimes.inspection.registry import get_inspector
from dmformer.targets import TARGETS as ROWS
from tests.conftest import Exported
from tests.support import random_batch

TARGETS = ("onnxruntime", "openvino", "ncnn")


@pytest.mark.parametrize("target", TARGETS)
def test_profiles_cover_the_model(exported: Exported, target: str) -> None:
    bundle = Bundle.load(exported(target))
    layers = get_inspector(target).profile(bundle, [random_batch(1)] * 4, threads=1)
    parts = {part["part"]: part for part in by_part(layers)}
    assert {"stem", "DMA expand", "DMA levels", "DMA fuse", "DMA gate", "FFN", "head"} <= set(parts)
    assert sum(part["share"] for part in parts.values()) == pytest.approx(1)
    assert max(parts["FFN"]["precision"], key=parts["FFN"]["precision"].get) == "float32"


def test_a_profile_names_who_told(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Bundle.load(exported("onnxruntime"))
    monkeypatch.setitem(ROWS, "abacus", replace(ROWS["onnxruntime"], name="abacus", profiler=""))
    monkeypatch.setattr("dmformer.evaluation.layers.profile.runs_of", lambda bundle, batch: 3)
    for target, source in (("onnx", "ONNX Runtime profile"), ("abacus", "profiler of abacus")):
        bundle = replace(loaded, manifest=loaded.manifest.model_copy(update={"target": target}))
        assert profile(bundle, 1, BenchSettings())["source"] == source


@pytest.mark.parametrize("target", TARGETS)
def test_inner_tensors_are_pytorchs(exported: Exported, checkpoint: Checkpoint, target: str) -> None:
    bundle = Bundle.load(exported(target))
    nodes = tap_points(checkpoint.config)
    found = layer_errors(
        torch_tap(checkpoint, nodes), get_inspector(target).tap(bundle, nodes), random_batch(2), nodes, "PyTorch"
    )
    assert {layer.node for layer in found.layers} >= {"stem.conv3", "stages.0.0.dma.fuse", "stages.3.0.ffn.conv2"}
    assert len(found.layers) >= 0.8 * len(nodes)
    assert all(layer.sqnr_db is None or layer.sqnr_db > 80 for layer in found.layers)
    assert found.jump is None


def test_an_fp32_bundle_is_a_reference_too(exported: Exported) -> None:
    bundle = Bundle.load(exported("openvino"))
    found = errors_of(bundle, None, exported("onnxruntime"))
    assert found.reference == exported("onnxruntime").name
    assert min(layer.sqnr_db or 999 for layer in found.layers) > 80


def test_the_first_jump_is_named() -> None:
    values = [("stem.conv3", 60.0), ("stages.0.0.dma.fuse", 58.0), ("stages.0.0.add.1", 57.0)]
    values += [
        ("stages.0.1.dma.fuse", 30.0),
        ("stages.0.1.ffn.conv2", 45.0),
        ("stages.0.1.add.1", 40.0),
        ("head", 10.0),
    ]
    layers = [LayerError(node, "", value) for node, value in values]
    assert first_jump(layers) == "stages.0.1.dma.fuse"
    assert first_jump(layers[:3]) is None


def test_rescaled_channels_are_compared_at_their_best_scale() -> None:
    right = random_batch(2)
    scaled = right * np.array([1, 5, 0.1], np.float32)[:, None, None]
    sums = products(right[:1], scaled[:1]) + products(right[1:], scaled[1:])
    assert (ratio_db(*energies(sums, rescaled=True)) or 999) > 100
    assert (ratio_db(*energies(sums, rescaled=False)) or 999) < 20
    assert ratio_db(*energies(products(right[:1], right[:1]), rescaled=False)) is None


def test_one_scale_serves_all_images() -> None:
    """A tensor of one pixel would otherwise fit at some scale, however wrong it is."""
    found = np.ones((1, 1, 1, 1), np.float32)
    sums = np.sum([products(found * factor, found) for factor in (1, 2, 3)], axis=0)
    assert (ratio_db(*energies(sums, rescaled=True)) or 999) < 20


def test_fused_integer_nodes_keep_their_path() -> None:
    """ONNX Runtime numbers the operators that it makes of several nodes."""
    event = {"cat": "Node", "name": "stages.0.0.dma.expand_token_100_kernel_time", "dur": 4}
    arguments = {"op_name": "QLinearConv", "node_index": "7", "input_type_shape": [{"uint8": [1, 8, 4, 4]}]}
    found = layer_times([{**event, "args": arguments}] * 3)
    assert [(layer.name, layer.precision, layer.ms) for layer in found] == [("stages.0.0.dma.expand", "int8", 0.004)]
    assert by_part(found)[0]["part"] == "DMA expand"


@pytest.mark.parametrize("target", TARGETS)
def test_products_multiply(target: str) -> None:
    """Within what each precision can hold: a peak that multiplies nothing would be beyond all machines."""
    real, integers = real_factors(32), integer_factors(32)
    right = {"real": np.matmul(*real), "integers": np.matmul(*(part.astype(np.int64) for part in integers))}
    found = {name: call().copy() for name, call in get_inspector(target).products(32, 1).items()}
    assert {"float32", "int8"} <= set(found) <= {"float32", "bfloat16", "int8"}
    least = {"float32": 100.0, "bfloat16": 40.0, "int8": 25.0}
    for name, product in found.items():
        if product.dtype == np.int32:
            np.testing.assert_array_equal(product, right["integers"])
        else:
            wrong = product.astype(np.float64) - right["real"]
            assert (ratio_db((right["real"] ** 2).sum(), (wrong**2).sum()) or 999) > least[name]
    if found["int8"].dtype != np.int32:
        assert not np.array_equal(found["int8"], found["float32"]), "quantized"


def test_products_are_valid_onnx() -> None:
    left, right = np.ones((4, 8), np.float32), np.full((8, 2), 3, np.float32)
    model = onnx.load_from_string(onnx_wire.product_model(left, right, "float32"))
    onnx.checker.check_model(model, full_check=True)
    assert np.array_equal(onnx.numpy_helper.to_array(model.graph.initializer[0]), right)


def test_outputs_are_read_and_added_as_onnx_itself_does(exported: Exported) -> None:
    content = (exported("onnxruntime") / "model.onnx").read_bytes()
    expected = {node.name: node.output[0] for node in onnx.load_from_string(content).graph.node}
    assert onnx_wire.node_outputs(content) == expected
    tapped = onnx.load_from_string(onnx_wire.with_outputs(content, ["a", "b"]))
    assert [value.name for value in tapped.graph.output] == ["logits", "a", "b"]


@pytest.mark.parametrize("content", [b"\x3a\xff", b"\xff" * 12, b"\x3a\x04\x0a\x7f\x00\x00", b"\x03"])
def test_damaged_onnx_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"message|kind"):
        onnx_wire.node_outputs(content)


def test_unknown_targets_cannot_be_looked_into() -> None:
    with pytest.raises(UsageError, match="abacus"):
        get_inspector("abacus")
    with pytest.raises(EngineError, match="cannot be looked into"):
        get_inspector("coreml")
