"""The decision inside a graph: every form gives what the task decides from the scores."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from dmformer import telemetry
from dmformer.fields import TensorSpec
from dmformer.graph.class_map import Form, arg_max, channels_last, maximum, with_class_map
from dmformer.tasks.segmentation import SemanticSegmentation
from dmformer.tasks.segmentation_heads import FpnHead

SIDE = 8


def scores_graph(planes: int) -> onnx.ModelProto:
    """Gives the scores that it is given."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", planes, SIDE, SIDE])
        for name in ("given", "scores")
    ]
    graph = helper.make_graph([helper.make_node("Identity", ["given"], ["scores"])], "g", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("planes", [1, 2, 19, 300])
@pytest.mark.parametrize("form", [arg_max, channels_last, maximum])
def test_every_form_decides_as_the_task(form: Form, planes: int) -> None:
    task = SemanticSegmentation(FpnHead(classes=planes, threshold=0.3))
    map_ = task.class_map(TensorSpec(name="scores", shape=(None, planes, SIDE, SIDE)))
    graph = with_class_map(scores_graph(planes), map_, form)
    session = telemetry.onnxruntime().InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    given = np.random.default_rng(planes).standard_normal((3, planes, SIDE, SIDE)).astype(np.float32)
    scores, classes = session.run(None, {"given": given})
    assert np.array_equal(scores, given)
    assert (classes.dtype, classes.shape) == (np.dtype("int32" if planes > 256 else "uint8"), (3, 4 * SIDE, 4 * SIDE))
    assert (classes == task.decisions(given)).mean() > 0.999  # equal scores up to rounding


@pytest.mark.parametrize("form", [arg_max, channels_last, maximum])
def test_of_equal_scores_the_first_counts(form: Form) -> None:
    task = SemanticSegmentation(FpnHead(classes=4))
    map_ = task.class_map(TensorSpec(name="scores", shape=(None, 4, SIDE, SIDE)))
    graph = with_class_map(scores_graph(4), map_, form)
    session = telemetry.onnxruntime().InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    given = np.ones((1, 4, SIDE, SIDE), np.float32)
    given[:, 0] = 0
    assert (session.run(["classes"], {"given": given})[0] == 1).all()
