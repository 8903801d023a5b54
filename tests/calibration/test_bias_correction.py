"""Bias correction: it removes shifts of the mean, in constant memory, for every emitter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from dmformer.calibration.bias_correction import FEWEST_IMAGES, MOST_IMAGES, _certain, _images, correct_biases
from dmformer.calibration.int8 import quantizer
from dmformer.calibration.observe import open_session, run_over
from dmformer.calibration.plan import default_plan
from dmformer.calibration.segments import MOST_NODES, extract, find_segments
from dmformer.graph.qdq.graph import Graph
from dmformer.graph.qdq.sites import group_of
from tests.calibration.graphs import ISA, SIDE, batches, canonical_graph, images, logits, ranges, sqnr
from tests.graph.heads import Head, dense_graph
from tests.support import TINY

DEEPER = TINY.model_copy(update={"depths": (1, 2, 1, 1)})


GRAPHS: dict[str, Callable[[], onnx.ModelProto]] = {
    "classifier": canonical_graph,
    "laterals": lambda: dense_graph(Head(resizing="shape")),
    "deeper": lambda: dense_graph(Head(laterals=((1, 3), (1,), (0,), (3, 1)), join="concat"), config=DEEPER),
    "outputs": lambda: dense_graph(Head(top_down=True, outputs=("stages.0.0.add.1", "stages.2.0.dma.relu"))),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_segments_in_a_row_are_the_whole_graph(name: str) -> None:
    graph = Graph(GRAPHS[name]())
    segments = find_segments(graph)
    assert [segment.sources for segment in segments[1:]] == [segment.targets for segment in segments[:-1]]
    assert [node for segment in segments for node in segment.nodes] == [node.name for node in graph.nodes]
    values: dict[str, Any] = {"image": images(3)}
    ends: dict[str, Any] = {}
    for segment in segments:
        part = extract(graph, segment)
        names = [value.name for value in part.graph.output]
        inputs = {value.name: values[value.name] for value in part.graph.input}
        arrays = dict(zip(names, open_session(part).run(names, inputs), strict=True))
        ends |= {value: arrays[value] for value in names if value in graph.outputs}
        values = {value: {**values, **arrays}[value] for value in segment.targets}
    for value, expected in next(run_over(GRAPHS[name](), graph.outputs, batches(images(3)))).items():
        assert np.abs(ends[value] - expected).max() < 1e-5 * max(1, np.abs(expected).max())


def passes(model: onnx.ModelProto) -> float:
    """How often bias correction runs a whole graph for an image: a segment twice, and again for each layer in it."""
    graph, groups = Graph(model), default_plan(model, "onnxruntime").int8_groups(model)
    corrected = {node.name for node in graph.nodes if len(node.input) == 3 and group_of(node.name) in groups}
    runs = sum((2 + len(corrected & {*one.nodes})) * len(one.nodes) for one in find_segments(graph))
    return runs / len(graph.nodes)


def test_a_dense_head_costs_about_as_many_passes_as_a_classifier() -> None:
    """With four stages alive at its end, one segment would hold nearly everything and be run for every layer in it."""
    config = TINY.model_copy(update={"depths": (2, 2, 4, 2)})
    dense = dense_graph(Head(), config=config)
    assert max(len(segment.nodes) for segment in find_segments(Graph(dense))) <= MOST_NODES
    assert passes(dense) < 1.5 * passes(canonical_graph(config)) < 8


@pytest.mark.parametrize("target", ["onnxruntime", "openvino", "tensorrt"])
def test_means_are_closer_afterwards(target: str) -> None:
    model = canonical_graph()
    groups = default_plan(model, target).int8_groups(model)
    made = quantizer(model, ranges(), target, ISA)
    reference = logits(model, images())
    before, after = logits(made.build(groups), images()), logits(made.corrected(groups, batches(images())), images())
    shift_before, shift_after = (np.abs((found - reference).mean(axis=0)).max() for found in (before, after))
    assert shift_after < shift_before
    assert sqnr(reference, after) > sqnr(reference, before)


def test_a_known_shift_is_found_exactly() -> None:
    """An emitter that adds a constant to one layer's bias: correction takes just that constant out."""

    def emit(model: onnx.ModelProto) -> onnx.ModelProto:
        graph = Graph(model)
        if "stages.1.0.ffn.conv1.bias" in graph.constants:
            graph.set_array("stages.1.0.ffn.conv1.bias", graph.array("stages.1.0.ffn.conv1.bias") + np.float32(0.25))
        return graph.model()

    found = Graph(correct_biases(canonical_graph(), emit, {"stages.1.0.ffn"}, batches(images())))
    original = Graph(canonical_graph())
    change = found.array("stages.1.0.ffn.conv1.bias") - original.array("stages.1.0.ffn.conv1.bias")
    assert change == pytest.approx(-0.25, abs=1e-4)
    rest = found.array("stages.1.0.ffn.conv2.bias") - original.array("stages.1.0.ffn.conv2.bias")
    assert np.abs(rest).max() < 1e-4


def test_images_are_taken_evenly_from_all() -> None:
    """Of a sorted folder the first ones are all of one class."""
    numbered = np.arange(1000, dtype=np.float32).reshape(-1, 1, 1, 1) * np.ones((3, SIDE, SIDE), np.float32)
    [source] = [value.name for value in canonical_graph().graph.input]
    taken = np.concatenate([chunk[source][:, 0, 0, 0] for chunk in _images(canonical_graph(), batches(numbered))])
    assert FEWEST_IMAGES <= len(taken) <= MOST_IMAGES
    assert len({*np.diff(taken)}) == 1
    assert taken[0] == 0 and taken[-1] > 900


@pytest.mark.parametrize(("differences", "kept"), [([0.25, 0.25], 0.25), ([1.0, -1.0], 0.0), ([0.3], 0.0)])
def test_what_images_do_not_agree_on_is_not_corrected(differences: list[float], kept: float) -> None:
    assert _certain(np.array(differences)[:, None]) == pytest.approx(kept)


def test_a_graph_of_a_fixed_batch() -> None:
    fixed = onnx.ModelProto()
    fixed.CopyFrom(canonical_graph())
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 8
    groups = default_plan(fixed, "onnxruntime").int8_groups(fixed)
    made = quantizer(fixed, ranges(), "onnxruntime", ISA)
    assert made.corrected(groups, batches(images(20), 7)).graph.node
