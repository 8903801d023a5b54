"""Typed graphs: which tensors are float16, what stays float32 and why, and what the twin computes."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from dmformer.calibration.typed import scan, typed_graph
from dmformer.graph.float16 import to_float16
from dmformer.graph.qdq.affine import Range
from dmformer.graph.qdq.sites import groups_of, kind_of
from dmformer.graph.qdq.tensorrt import emit_tensorrt
from dmformer.graph.twin import can_open_batch, half_values, twin_of, with_open_batch
from tests.conftest import Exported
from tests.support import random_batch, scanned

FLOATING = ("dma.gate", "dma.sum", "ffn.gelu")


@pytest.fixture(scope="module")
def graph(exported: Exported) -> onnx.ModelProto:
    return onnx.load(str(exported("onnxruntime") / "model.onnx"))


@pytest.fixture(scope="module")
def quantized(graph: onnx.ModelProto) -> onnx.ModelProto:
    groups = [group for group in groups_of(graph) if kind_of(group) not in FLOATING]
    return emit_tensorrt(graph, scan(graph, scanned(random_batch(4))), groups)


def infer(model: onnx.ModelProto, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {source: image[None]})[0] for image in batch])


def types(model: onnx.ModelProto) -> dict[str, int]:
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    return {value.name: value.type.tensor_type.elem_type for value in values}


def chain(weights: tuple[float, ...], middle: str = "Relu") -> onnx.ModelProto:
    """1x1 convolutions of one channel with an operator behind each."""
    nodes, constants, last = [], [], "image"
    for index, weight in enumerate(weights):
        constants.append(numpy_helper.from_array(np.full((1, 1, 1, 1), weight, np.float32), f"w{index}"))
        nodes.append(helper.make_node("Conv", [last, f"w{index}"], [f"c{index}"], name=f"conv{index}"))
        nodes.append(helper.make_node(middle, [f"c{index}"], [f"r{index}"], name=f"act{index}"))
        last = f"r{index}"
    nodes[-1].output[0] = "logits"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 1, 1]) for name in ("image", "logits")]
    model = helper.make_graph(nodes, "chain", ends[:1], ends[1:], constants)
    return helper.make_model(model, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_the_inside_is_float16_and_the_ends_are_float32(graph: onnx.ModelProto) -> None:
    typed = to_float16(graph, {})
    kinds = types(typed.model)
    assert kinds["image"] == kinds["logits"] == TensorProto.FLOAT
    by_operator = {node.op_type: kinds[node.output[0]] for node in typed.model.graph.node if node.output[0] in kinds}
    assert by_operator["Conv"] == by_operator["Gelu"] == by_operator["Add"] == TensorProto.FLOAT16
    assert by_operator["Sigmoid"] == by_operator["GlobalAveragePool"] == TensorProto.FLOAT
    weights = [entry for entry in typed.model.graph.initializer if entry.name.startswith("stages")]
    assert weights and all(entry.data_type == TensorProto.FLOAT16 for entry in weights)


def test_what_is_kept_is_named(graph: onnx.ModelProto) -> None:
    typed = to_float16(graph, {})
    assert typed.overflowing == ()
    assert all("gate" in name or "pool" in name for name in typed.kept), typed.kept


def test_the_source_is_not_changed(graph: onnx.ModelProto) -> None:
    before = graph.SerializeToString(deterministic=True)
    first = to_float16(graph, {}).model.SerializeToString(deterministic=True)
    assert graph.SerializeToString(deterministic=True) == before
    assert to_float16(graph, {}).model.SerializeToString(deterministic=True) == first


def test_the_twin_is_close_to_float32(graph: onnx.ModelProto) -> None:
    batch = random_batch(8)
    expected, found = infer(graph, batch), infer(twin_of(to_float16(graph, {}).model), batch)
    error = float(np.abs(expected - found).max() / max(1.0, float(np.abs(expected).max())))
    assert 0 < error < 1e-2


@pytest.mark.parametrize("middle", ["Relu", "Identity"])
def test_values_beyond_float16_stay_float32_with_their_readers(middle: str) -> None:
    model, image = chain((1000.0, 0.001), middle), np.full((1, 1, 1, 1), 1000, np.float32)
    unsafe = twin_of(to_float16(model, {}).model)
    assert np.isinf(infer(unsafe, image)).all(), "the twin must show an overflow"
    found = typed_graph(model, scanned(image), "fp16") if middle == "Identity" else None
    typed = to_float16(model, scan(model, scanned(image)))
    assert set(typed.overflowing) == {"conv0", "act0", "conv1"}
    assert infer(twin_of(typed.model), image) == pytest.approx(1000, rel=1e-3)
    assert found is None or "conv0" in found.notes[0]


def test_onnx_runtime_alone_would_hide_the_overflow() -> None:
    typed = to_float16(chain((1000.0, 0.001)), {}).model
    assert np.isfinite(infer(typed, np.full((1, 1, 1, 1), 1000, np.float32))).all(), "then the twin is not needed"


def test_the_twin_rounds_every_tensor_to_float16() -> None:
    image = np.full((1, 1, 1, 1), 1.2345678, np.float32)
    model = chain((1.0, 1.0))
    found = infer(twin_of(to_float16(model, {}).model), image)
    assert found == np.float16(1.2345678)
    assert len(half_values(to_float16(model, {}).model)) == 5


def test_constants_beyond_float16_keep_their_layer_in_float32() -> None:
    typed = to_float16(chain((1e6, 1.0)), {"conv0": Range(0, 1), "act0": Range(0, 1)})
    assert typed.kept == ("conv0",)


def test_int8_graphs_keep_their_integers(quantized: onnx.ModelProto) -> None:
    typed = to_float16(quantized, {}).model
    integers = [entry.name for entry in quantized.graph.initializer if entry.data_type == TensorProto.INT8]
    after = {entry.name: entry for entry in typed.graph.initializer}
    assert integers and all(after[name].data_type == TensorProto.INT8 for name in integers)
    zero_points = [name for name in integers if name.endswith("zero_point")]
    assert zero_points and not any(numpy_helper.to_array(after[name]).any() for name in zero_points)


def test_int8_layers_read_integers_without_a_cast_between(quantized: onnx.ModelProto) -> None:
    typed = to_float16(quantized, {}).model
    producers = {value: node for node in typed.graph.node for value in node.output}
    integer = [node for node in typed.graph.node if node.op_type == "Conv" and node.input[1] in producers]
    assert integer
    for node in integer:
        assert producers[node.input[0]].op_type == producers[node.input[1]].op_type == "DequantizeLinear"
        assert len(node.input) < 3 or node.input[2] not in producers, "TensorRT wants float biases"


def test_the_int8_twin_answers_like_the_quantized_graph(quantized: onnx.ModelProto) -> None:
    batch = random_batch(8)
    expected, found = infer(quantized, batch), infer(twin_of(to_float16(quantized, {}).model), batch)
    assert np.abs(expected - found).max() < 0.1 * np.abs(expected).max()


def test_scales_too_small_for_float16_stay_float32() -> None:
    scale = numpy_helper.from_array(np.array(1e-7, np.float32), "scale")
    zero = numpy_helper.from_array(np.array(0, np.int8), "zero")
    make = functools.partial(helper.make_node)
    nodes = [
        make("QuantizeLinear", ["image", "scale", "zero"], ["codes"], name="quantize"),
        make("DequantizeLinear", ["codes", "scale", "zero"], ["real"], name="dequantize"),
        make("Relu", ["real"], ["logits"], name="relu"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("image", "logits")]
    model = helper.make_model(
        helper.make_graph(nodes, "small", ends[:1], ends[1:], [scale, zero]),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    assert to_float16(model, {}).kept == ("dequantize", "quantize")


def test_fp32_is_left_alone(graph: onnx.ModelProto) -> None:
    assert typed_graph(graph, scanned(random_batch(1)), "fp32").model is graph
    assert twin_of(graph) is graph


def test_a_twin_of_any_batch_computes_the_same(graph: onnx.ModelProto) -> None:
    batch = random_batch(3)
    twin = twin_of(to_float16(graph, {}).model)
    assert can_open_batch(twin)
    session = onnxruntime.InferenceSession(
        with_open_batch(twin).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    np.testing.assert_allclose(session.run(None, {"image": batch})[0], infer(twin, batch), atol=2e-3)
