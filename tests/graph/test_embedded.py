"""The normalization inside the graph: equal to the one outside, whatever the channels and the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from dmformer.graph.embedded import METADATA, embed_preprocessing
from dmformer.preprocessing import Preprocessing, fit_batch, preprocess_batch
from tests.support import random_images


def identity(shape: list[int | str]) -> onnx.ModelProto:
    """A graph that gives back what it takes, with a property of its own."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("image", "logits")]
    node = helper.make_node("Identity", ["image"], ["logits"], name="head")
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(helper.make_graph([node], "graph", ends[:1], ends[1:]), opset_imports=opset, ir_version=9)
    helper.set_model_props(model, {"kept": "yes"})
    return model


@pytest.mark.parametrize("batch", [2, "batch"])
@pytest.mark.parametrize("order", ["rgb", "bgr", "grey"])
def test_it_normalizes_as_python_does(order: Any, batch: int | str) -> None:
    channels = 1 if order == "grey" else 3
    spec = Preprocessing(
        size=(32, 64), channel_order=order, mean=(0.1, 0.5, 0.9)[:channels], std=(0.2, 0.03, 4.0)[:channels]
    )
    model = identity([batch, channels, 32, 64])
    before = model.SerializeToString(deterministic=True)
    embedded = embed_preprocessing(model, spec)
    assert model.SerializeToString(deterministic=True) == before, "the given graph is not changed"
    session = onnxruntime.InferenceSession(embedded.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].type == "tensor(uint8)"
    assert session.get_inputs()[0].shape == [batch, 32, 64, channels]
    images = list(random_images(2, 50))
    found = session.run(None, {"image": fit_batch(images, spec)})[0]
    # Two roundings of float32, relative to the largest term: |pixel / 255 / std| and |mean / std|.
    largest = max((1 + mean) / std for mean, std in zip(spec.mean, spec.std, strict=True))
    np.testing.assert_allclose(found, preprocess_batch(images, spec), rtol=0, atol=2 * largest * 2**-23)


def test_the_file_says_what_it_takes() -> None:
    embedded = embed_preprocessing(identity([1, 3, 32, 32]), Preprocessing(size=(32, 32), channel_order="bgr"))
    properties = {entry.key: entry.value for entry in embedded.metadata_props}
    assert properties == {METADATA: "uint8 NHWC bgr, not normalized", "kept": "yes"}
    assert [node.name for node in embedded.graph.node][:4] == [
        f"preprocessing.{step}" for step in ("transpose", "cast", "mul", "add")
    ]
