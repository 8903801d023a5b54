"""Half precision and twins of graphs that resize: the operators' schemas and shape inference are asked."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import example, given, settings
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from dmformer.graph.float16 import to_float16
from dmformer.graph.passes import check
from dmformer.graph.qdq.graph import Graph
from dmformer.graph.twin import can_open_batch, twin_of, with_open_batch
from tests.calibration.graphs import SIDE, images
from tests.graph.heads import CLASSES, Head, dense_graph, heads


def infer(model: onnx.ModelProto, batch: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    parts = [session.run(["logits"], {"image": batch[i : i + size]})[0] for i in range(0, len(batch), size)]
    return np.concatenate(parts)


@settings(max_examples=12, deadline=None)
@given(heads(("scales", "axes", "shape", "sizes")))
@example(Head(resizing="sizes"))
@example(Head(resizing="sizes", laterals=((1,), (1,), (1,), (1,)), enlarge=True))
@example(Head(resizing="scales", enlarge=True))
def test_the_twin_of_one_image_is_refused_more_or_right(head: Head) -> None:
    twin = twin_of(to_float16(dense_graph(head, batch=1), {}).model)
    assert can_open_batch(twin) == (head.resizing != "sizes")
    if can_open_batch(twin):
        opened = with_open_batch(twin)
        np.testing.assert_allclose(infer(opened, images(3), 3), infer(twin, images(3), 1), atol=1e-2, rtol=1e-2)


def test_a_twin_keeps_casts_to_integers() -> None:
    """Arg max by hand: what is half is widened, what is an integer stays one."""
    half, whole = (helper.make_node("Cast", [a], [b], name=b, to=kind) for a, b, kind in (
        ("image", "half", TensorProto.FLOAT16), ("half", "whole", TensorProto.INT64)))  # fmt: skip
    graph = helper.make_graph(
        [half, whole],
        "casts",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("whole", TensorProto.INT64, [1, 3, 4, 4])],
    )
    typed = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    twin = twin_of(check(typed))
    batch = np.random.default_rng(0).uniform(-9, 9, (1, 3, 4, 4)).astype(np.float32)
    session = onnxruntime.InferenceSession(twin.SerializeToString(), providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(None, {"image": batch})[0], batch.astype(np.float16).astype(np.int64))


@pytest.mark.parametrize("kind", ["Expand", "Reshape", "ReduceMean", "Resize"])
def test_a_batch_inside_the_graph_is_seen_wherever_it_is(kind: str) -> None:
    """Behind it an addition or the graph's own output would have an open batch again."""
    constants = {
        "Expand": np.array([1, 3, 8, 8]),
        "Reshape": np.array([1, 3, 8, 8]),
        "ReduceMean": np.array([0]),
        "Resize": np.array([1, 3, 8, 8]),
    }
    inputs = ["image", "", "", "constant"] if kind == "Resize" else ["image", "constant"]
    nodes = [
        helper.make_node(kind, inputs, ["inner"], name="inner"),
        helper.make_node("Add", ["image", "inner"], ["logits"], name="add"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("image", "logits")]
    constant = numpy_helper.from_array(constants[kind], "constant")
    graph = helper.make_graph(nodes, "fixed", ends[:1], ends[1:], [constant])
    model = check(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))
    # Expanding to one row is expanding to any number of them; all others would mix or drop images.
    assert can_open_batch(model) == (kind == "Expand")


@settings(max_examples=8, deadline=None)
@given(heads())
@example(Head())
def test_any_head_is_typed_and_computes_nearly_the_same(head: Head) -> None:
    model = dense_graph(head)
    typed = Graph(to_float16(model, {}).model)
    for node in typed.nodes:
        if node.op_type == "Resize":
            assert typed.tensors[node.output[0]].elem_type == TensorProto.FLOAT16 or node.output[0] == "logits"
            assert not node.input[2] or typed.constants[node.input[2]].data_type == TensorProto.FLOAT
    expected, result = (infer(one, images(2), 2) for one in (model, twin_of(typed.model())))
    assert expected.shape[1] == CLASSES and expected.shape[2] in (SIDE, SIDE // 4)
    assert np.abs(expected - result).max() < 2e-2 * np.abs(expected).max()


def test_results_of_a_type_of_their_own_keep_it() -> None:
    """A Cast to float32 inside the graph gives float32, whatever stands around it."""
    nodes = [
        helper.make_node("Shape", ["image"], ["shape"], name="shape"),
        helper.make_node("Cast", ["shape"], ["sides"], name="sides", to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["sides"], ["longest"], name="longest", keepdims=0),
        helper.make_node("Mul", ["image", "longest"], ["logits"], name="mul"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("image", "logits")]
    graph = helper.make_graph(nodes, "casting", ends[:1], ends[1:])
    typed = to_float16(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), {}).model
    tensors = Graph(typed).tensors
    assert tensors["sides"].elem_type == TensorProto.FLOAT
    assert tensors["longest"].elem_type == TensorProto.FLOAT16
