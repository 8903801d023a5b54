"""Weights are rounded so that outputs change least, and onto the very grid that the emitter will use."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from dmformer.calibration.observe import open_session
from dmformer.calibration.rounding import round_weights
from dmformer.graph.qdq.graph import Graph
from dmformer.graph.qdq.insertion import Quantizers
from dmformer.graph.qdq.scheme import U8S7, U8S8, Scheme

LAYERS: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    "1x1": ("Conv", (12, 8, 1, 1), {}),
    "3x3": ("Conv", (12, 8, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    "dilated": ("Conv", (12, 8, 3, 3), {"pads": [2, 2, 2, 2], "dilations": [2, 2]}),
    "linear": ("Gemm", (12, 8), {"transB": 1}),
    "lying": ("Gemm", (8, 12), {}),
    "depthwise": ("Conv", (8, 1, 3, 3), {"pads": [1, 1, 1, 1], "group": 8}),
}
Array = NDArray[np.float32]


def layer(name: str) -> onnx.ModelProto:
    kind, shape, attributes = LAYERS[name]
    weight = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    node = helper.make_node(kind, ["x", "w"], ["y"], name="layer", **attributes)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "one",
        [value("x", onnx.TensorProto.FLOAT, None)],
        [value("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def inputs(name: str, seed: int = 1) -> Array:
    """Channels and neighbours that go together, as in any picture."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(2).standard_normal((8, 3)).astype(np.float32)
    if LAYERS[name][0] == "Gemm":
        return np.asarray(random.standard_normal((600, 3), np.float32) @ mixing.T)
    coarse = np.kron(random.standard_normal((8, 3, 5, 5), np.float32), np.ones((4, 4), np.float32))
    return np.asarray(np.einsum("nkhw,ck->nchw", coarse, mixing))


def emitted(model: onnx.ModelProto, scheme: Scheme = U8S8) -> onnx.ModelProto:
    """The layer with an integer weight and float activations."""
    graph = Graph(model)
    quantizers = Quantizers(graph, {}, scheme)
    quantizers.weight(graph.by_name["layer"], None)
    return quantizers.finish()


def outputs(model: onnx.ModelProto, array: Array) -> Array:
    return np.asarray(open_session(model).run(None, {"x": array})[0])


def rounded(name: str, scheme: Scheme) -> onnx.ModelProto:
    graph = Graph(layer(name))
    round_weights(graph, emitted(layer(name), scheme), [{"x": inputs(name)}])
    return graph.model()


@pytest.mark.parametrize("scheme", [U8S8, U8S7], ids=["eight bits", "seven bits"])
@pytest.mark.parametrize("name", [name for name in LAYERS if name != "depthwise"])
def test_outputs_change_less_than_by_rounding_to_the_nearest(name: str, scheme: Scheme) -> None:
    model, unseen = rounded(name, scheme), inputs(name, seed=3)
    expected = outputs(layer(name), unseen)
    nearest, ours = (np.square(outputs(emitted(one, scheme), unseen) - expected).sum() for one in (layer(name), model))
    assert ours < 0.85 * nearest


@pytest.mark.parametrize("name", LAYERS)
def test_the_emitter_gets_the_codes_that_were_chosen(name: str) -> None:
    model = rounded(name, U8S7)
    again = Graph(emitted(model, U8S7))
    codes, scales = again.array("w/quantized").astype(np.float32), again.array("w/scale")
    axis = 1 if name == "lying" else 0
    real = codes * scales.reshape([-1 if one == axis else 1 for one in range(codes.ndim)])
    before = Graph(emitted(layer(name), U8S7)).array("w/scale")
    assert scales == pytest.approx(before, rel=1e-6)
    if name == "depthwise":
        assert (Graph(model).array("w") == Graph(layer(name)).array("w")).all()
    else:
        assert real == pytest.approx(Graph(model).array("w"), rel=1e-5, abs=1e-7)


def test_inputs_that_are_always_zero_change_nothing_but_the_rounding() -> None:
    graph = Graph(layer("1x1"))
    round_weights(graph, emitted(layer("1x1")), [{"x": np.zeros((2, 8, 4, 4), np.float32)}])
    nearest = Graph(emitted(layer("1x1")))
    real = nearest.array("w/quantized") * nearest.array("w/scale").reshape(-1, 1, 1, 1)
    assert graph.array("w") == pytest.approx(real, rel=1e-6)
