"""The float parts of an INT8 graph with the channels last: the same answers, fewer transpositions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from dmformer.calibration.int8 import quantizer
from dmformer.calibration.plan import default_plan
from dmformer.graph.qdq.channels_last import keep_channels_last
from dmformer.graph.qdq.emitters import finished
from dmformer.graph.qdq.sites import STEM, groups_of, select
from dmformer.layouts import CHANNELS_LAST, channels_first
from tests.calibration.graphs import ISA, canonical_graph, images, logits, ranges
from tests.graph.test_qdq import run
from tests.support import TINY, random_batch, relative_noise

BLOCKS = sum(TINY.depths)


def emitted(*floating: str) -> onnx.ModelProto:
    """An INT8 graph in the old layout; ``floating`` kinds stay float besides the default plan's."""
    groups = default_plan(canonical_graph(), "onnxruntime").int8_groups(canonical_graph())
    groups -= select(groups_of(canonical_graph()), floating)
    return quantizer(canonical_graph(), ranges(), "onnxruntime", ISA).emit(canonical_graph(), groups)(canonical_graph())


def optimized(model: onnx.ModelProto, path: Path) -> list[onnx.NodeProto]:
    """The nodes that ONNX Runtime makes of a model."""
    run(model, random_batch(1, 64), path)
    return list(onnx.load(path).graph.node)


PLANS = pytest.mark.parametrize(
    "floating", [(), ("ffn.gelu",), STEM, ("downsamples",), ("ffn",), ("dma.fuse", "dma.expand")], ids=str
)


@PLANS
def test_the_answers_are_the_same(floating: tuple[str, ...]) -> None:
    before = emitted(*floating)
    after = keep_channels_last(before)
    onnx.checker.check_model(after, full_check=True)
    # The mean is summed in another order, which may move a value to the next code.
    assert relative_noise(logits(before, images(8)), logits(after, images(8))) < 1e-4


@pytest.mark.parametrize("batch", [1, 3])
def test_an_open_batch_stays_open(batch: int) -> None:
    model = keep_channels_last(emitted())
    assert run(model, random_batch(batch, 64))[0].shape[0] == batch


def test_no_float_value_is_transposed_within_a_block(tmp_path: Path) -> None:
    before = Counter(node.op_type for node in optimized(emitted(), tmp_path / "before.onnx"))
    nodes = optimized(keep_channels_last(emitted()), tmp_path / "after.onnx")
    after = Counter(node.op_type for node in nodes)
    # One at the stem and one behind each gate, whose image is a single pixel.
    assert after["Transpose"] == BLOCKS + 1 < before["Transpose"]
    assert after["QLinearConv"] == before["QLinearConv"]


def test_what_has_no_integers_is_left_alone() -> None:
    assert finished(canonical_graph(), "onnxruntime") is canonical_graph()
    assert keep_channels_last(canonical_graph()) is canonical_graph()


@pytest.mark.parametrize("target", ["openvino", "tensorrt", "coreml"])
def test_only_onnx_runtime_is_given_it(target: str) -> None:
    assert finished(emitted(), target).SerializeToString() == emitted().SerializeToString()


def test_same_bytes() -> None:
    one, other = (keep_channels_last(emitted()).SerializeToString(deterministic=True) for _ in range(2))
    assert one == other


def test_an_output_of_the_graph_keeps_its_layout() -> None:
    """Feature maps of a backbone are read by applications as ``[N, C, H, W]``."""
    before = emitted()
    name = "stages.1.0.add.1:0"
    before.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    after = keep_channels_last(before)
    batch = random_batch(1, 64)
    assert any(name + CHANNELS_LAST in node.output for node in after.graph.node)
    old, new = run(before, batch)[1], run(after, batch)[1]
    assert old.shape == new.shape
    assert relative_noise(old, new) < 1e-4


def test_a_value_knows_its_layout_by_its_name() -> None:
    values = random_batch(2, 8)
    last = np.ascontiguousarray(values.transpose(0, 2, 3, 1))
    assert np.array_equal(channels_first("add:0" + CHANNELS_LAST, last), values)
    assert channels_first("add:0", values) is values
