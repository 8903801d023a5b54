"""Bias correction: it removes shifts of the mean, in constant memory, for every emitter."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from dmformer.calibration.bias_correction import correct_biases
from dmformer.calibration.int8 import quantizer
from dmformer.calibration.plan import default_plan
from dmformer.calibration.segments import extract, find_segments
from dmformer.graph.qdq.graph import Graph
from tests.calibration.graphs import ISA, batches, canonical_graph, images, logits, ranges, sqnr


def test_segments_in_a_row_are_the_whole_graph() -> None:
    graph = Graph(canonical_graph())
    segments = find_segments(graph)
    assert [segment.source for segment in segments[1:]] == [segment.target for segment in segments[:-1]]
    assert [name for segment in segments for name in segment.nodes] == [node.name for node in graph.nodes]
    assert len(segments) > 8
    value = images(3)
    for segment in segments:
        value = logits(extract(graph, segment), value)
    assert np.abs(value - logits(canonical_graph(), images(3))).max() < 1e-5


@pytest.mark.parametrize("target", ["onnxruntime", "openvino", "tensorrt"])
def test_means_are_closer_afterwards(target: str) -> None:
    model = canonical_graph()
    groups = default_plan(model, target).int8_groups(model)
    made = quantizer(model, ranges(), target, ISA)
    reference = logits(model, images())
    before, after = logits(made.build(groups), images()), logits(made.corrected(groups, batches(images()), 1), images())
    shift_before, shift_after = (np.abs((found - reference).mean(axis=0)).max() for found in (before, after))
    assert shift_after < 0.75 * shift_before
    assert sqnr(reference, after) > sqnr(reference, before)


def test_a_known_shift_is_found_exactly() -> None:
    """An emitter that adds a constant to one layer's bias: correction takes just that constant out."""

    def emit(model: onnx.ModelProto) -> onnx.ModelProto:
        graph = Graph(model)
        if "stages.1.0.ffn.conv1.bias" in graph.constants:
            graph.set_array("stages.1.0.ffn.conv1.bias", graph.array("stages.1.0.ffn.conv1.bias") + np.float32(0.25))
        return graph.model()

    found = Graph(correct_biases(canonical_graph(), emit, {"stages.1.0.ffn"}, batches(images()), 1))
    original = Graph(canonical_graph())
    change = found.array("stages.1.0.ffn.conv1.bias") - original.array("stages.1.0.ffn.conv1.bias")
    assert change == pytest.approx(-0.25, abs=1e-4)
    rest = found.array("stages.1.0.ffn.conv2.bias") - original.array("stages.1.0.ffn.conv2.bias")
    assert np.abs(rest).max() < 1e-4


def test_more_images_than_are_kept_change_nothing() -> None:
    model = canonical_graph()
    groups = default_plan(model, "onnxruntime").int8_groups(model)
    emit = quantizer(model, ranges(), "onnxruntime", ISA).emit(groups)
    many = np.concatenate([images(24, seed) for seed in range(12)])
    one = correct_biases(model, emit, groups, batches(many[:256]), 1)
    other = correct_biases(model, emit, groups, batches(many), 1)
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


def test_a_graph_of_a_fixed_batch() -> None:
    fixed = onnx.ModelProto()
    fixed.CopyFrom(canonical_graph())
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 8
    groups = default_plan(fixed, "onnxruntime").int8_groups(fixed)
    made = quantizer(fixed, ranges(), "onnxruntime", ISA)
    assert made.corrected(groups, batches(images(20), 7), 1).graph.node
