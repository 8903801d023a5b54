"""ncnn's files: what is written computes what the graph computes, and what is read is understood or refused."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from dmformer import telemetry
from dmformer.errors import ExportError
from dmformer.fields import TensorSpec
from dmformer.graph.class_map import arg_max, with_class_map
from dmformer.graph.half import compress_weights
from dmformer.graph.ncnn.conversion import convert
from dmformer.graph.ncnn.network import NetworkError, from_text, to_text
from dmformer.graph.qdq.coreml import emit_coreml
from dmformer.graph.qdq.sites import groups_of, select
from dmformer.runtimes.ncnn.account import precisions
from dmformer.runtimes.ncnn.engine import Files, computed, files_of, opened
from dmformer.tasks.segmentation import SemanticSegmentation
from dmformer.tasks.segmentation_heads import FpnHead, UperNetHead
from tests.calibration.graphs import canonical_graph, images, ranges, sqnr
from tests.support import TINY

SIDE = 8
SMALL = ((7, 1), (1, 5), (1, 1))
"""Sides of maps that a bilinear kernel has too few values for."""


def read(model: onnx.ModelProto) -> Files:
    converted = convert(model)
    return files_of(converted.param, converted.weights)


def answered(model: onnx.ModelProto, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    (taken,), names = model.graph.input, [value.name for value in model.graph.output]
    return computed(opened(read(model), 1, {}), {taken.name: image}, names)


def right(model: onnx.ModelProto, image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    options = telemetry.onnxruntime().SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # its integers are its own
    session = telemetry.onnxruntime().InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(value[0]) for value in session.run(None, {model.graph.input[0].name: image[None]})]


def graph_of(nodes: list[onnx.NodeProto], given: tuple[int, ...], taken: tuple[int, ...]) -> onnx.ModelProto:
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *shape])
        for name, shape in (("given", given), ("scores", taken))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_pyramid_pooling_is_computed_as_in_onnx() -> None:
    """Products with matrices of means, maps of one value resized, and maps joined: nothing else has those."""
    model = canonical_graph(TINY.model_copy(update={"head": UperNetHead(classes=3, width=8)}))
    assert "Shape" in {node.op_type for node in model.graph.node}, "its batch is open"
    image = images(1)[0]
    assert {"MatMul", "Resize", "Concat"} <= {node.op_type for node in model.graph.node}
    for graph in (model, compress_weights(model)):
        (expected,) = right(graph, image)
        assert sqnr(expected, answered(graph, image)["scores"]) > 100


@pytest.mark.parametrize("sides", SMALL)
def test_a_side_of_one_is_resized_too(sides: tuple[int, int]) -> None:
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [4], [1, 2, 6, 10])
    attributes = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    resize = helper.make_node("Resize", ["given", "", "", "sizes"], ["scores"], name="resize", **attributes)
    model = graph_of([resize], (2, *sides), (2, 6, 10))
    model.graph.initializer.append(sizes)
    image = np.random.default_rng(0).standard_normal((2, *sides)).astype(np.float32)
    np.testing.assert_allclose(answered(model, image)["scores"], right(model, image)[0], atol=1e-5)


@pytest.mark.parametrize("planes", [1, 2, 300])
def test_classes_are_those_of_the_task_and_of_equal_scores_the_first(planes: int) -> None:
    task = SemanticSegmentation(FpnHead(classes=planes, threshold=0.3))
    map_ = task.class_map(TensorSpec(name="scores", shape=(None, planes, SIDE, SIDE)))
    relu = helper.make_node("Relu", ["given"], ["scores"], name="relu")
    model = with_class_map(graph_of([relu], *[(planes, SIDE, SIDE)] * 2), map_, arg_max)
    image = np.random.default_rng(planes).uniform(0, 1, (planes, SIDE, SIDE)).astype(np.float32)
    given = answered(model, image)
    assert np.array_equal(given["scores"], image) and given["classes"].shape == (4 * SIDE, 4 * SIDE)
    assert (given["classes"] == task.decisions(image[None])[0]).mean() > 0.99  # equal scores up to rounding
    if planes > 1:
        image[1:] = 2
        assert (answered(model, image)["classes"] == 1).all()


def quantized() -> onnx.ModelProto:
    model = canonical_graph()
    groups = set(groups_of(model)) - select(groups_of(model), ("stem.conv1", "dma.gate"))
    return emit_coreml(model, ranges().spans(), groups)


def test_integers_are_those_of_the_graph() -> None:
    """ncnn's integers answer as the Q/DQ does when it is computed in floats, far nearer than the float graph does."""
    model, image = quantized(), images(1, seed=3)[0]
    (emulated,), (floating,) = right(model, image), right(canonical_graph(), image)
    found = answered(model, image)["logits"]
    assert sqnr(emulated, found) > sqnr(floating, found) + 10
    files = read(model)
    told = precisions(opened(files, 1, {}), files)
    assert {name for name, type_ in told.items() if type_ == "int8"} == {
        layer.name for layer in files.layers if layer.parameters.get(8)
    }
    assert (told["stages.0.0.dma.levels.2"], told["stages.0.0.dma.gate.reduce"]) == ("int8", "float32")


def test_what_a_layer_computes_in_is_asked_of_it() -> None:
    """Files alone do not say it: the same ones are opened for another type."""
    files = read(canonical_graph())
    half = opened(files, 1, {})
    half.clear()
    half.opt.use_bf16_storage = True
    half.load_param_mem(to_text(files.layers))
    half.load_model_mem(files.content)
    assert "bfloat16" in precisions(half, files).values()
    assert set(precisions(opened(files, 1, {}), files).values()) == {"float32"}


def test_a_network_is_read_as_it_was_written() -> None:
    for model in (canonical_graph(), quantized()):
        converted = convert(model)
        assert to_text(from_text(converted.param)) == converted.param
        layers = {layer.name for layer in from_text(converted.param)}
        assert {"stem.conv1", "stages.0.0.dma.expand", "stages.3.0.ffn.conv2", "head"} <= layers


def test_an_operator_that_has_no_counterpart_is_named_with_its_node() -> None:
    model = graph_of([helper.make_node("Erf", ["given"], ["scores"], name="ours.erf")], (1, 4, 4), (1, 4, 4))
    with pytest.raises(ExportError, match=r"the operator Erf \(ours\.erf\) is not converted"):
        convert(model)


def swapped(pattern: str, replacement: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        changed, count = re.subn(pattern, replacement, text, count=1, flags=re.M)
        assert count == 1, pattern
        return changed

    return change


TEXTS: dict[str, tuple[Callable[[str], str], str]] = {
    "empty": (lambda text: "", "does not begin"),
    "another magic": (swapped("^7767517", "7767518"), "does not begin with 7767517"),
    "no counts": (swapped(r"^\d+ \d+$", "many"), "says 'many' layers"),
    "too many layers": (swapped(r"^\d+ ", "2000000000 "), "says '2000000000"),
    "one layer fewer": (lambda text: text.rsplit("\n", 2)[0] + "\n", "layers and blobs, and has"),
    "cut in a line": (lambda text: text[: len(text) // 2], "layers and blobs|no layer|blobs than|no parameter"),
    "blobs beyond the line": (swapped("^(Convolution stem.conv1) 1 1", r"\1 1 90000"), "fewer blobs than it says"),
    "a kind that is not written": (swapped("^GELU", "MemoryData"), "writes no 'MemoryData'"),
    "no such parameter": (swapped("(conv1 .*)$", r"\1 19=1"), "parameter 19 is none"),
    "weights beyond the file": (swapped("6=588", "6=2000000000"), "6=2000000000 cannot be"),
    "more weights than inputs": (swapped("6=588", "6=589"), "weights do not fit"),
    "a negative count": (swapped("0=4 1=7", "0=-4 1=7"), "0=-4 cannot be"),
    "a kernel beyond its input": (swapped("4=3 5=1 6=588", "4=0 2=200 5=1 6=588"), "larger than its input|cannot be"),
    "a float for a count": (swapped("0=4 1=7", "0=4.0 1=7"), "0=4.0 cannot be"),
    "no number": (swapped("0=4 1=7", "0=nan 1=7"), "'0=nan' is no parameter"),
    "a blob that nothing gives": (swapped("1 1 image stem", "1 1 nothing stem"), "reads what nothing gives"),
    "a blob that is read twice": (swapped("stem.conv3:0/1", "stem.conv3:0/0"), "another layer|nothing gives"),
    "two layers of one name": (swapped("^Convolution stem.conv2", "Convolution stem.conv1"), "have one name"),
    "an input without end": (swapped("0=64 1=64 2=3", "0=268435456 1=268435456 2=3"), "268435456"),
    "another shape": (swapped("0=1 1=1 2=8", "0=1 1=2 2=8"), "cannot become"),
    "a long name": (swapped("stem.conv1 ", f"{'x' * 300} "), "too long"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_layers_that_cannot_be_are_refused_before_ncnn_sees_them(name: str) -> None:
    converted = convert(canonical_graph())
    change, message = TEXTS[name]
    with pytest.raises(NetworkError, match=message):
        files_of(change(converted.param), converted.weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights[:-1], "weights end at byte"),
        (lambda weights: weights[: len(weights) // 2], "weights end at byte"),
        (lambda weights: b"", "another type|end at byte 0"),
        (lambda weights: weights + bytes(4), "weights have"),
        (lambda weights: b"\1\0\0\0" + weights[4:], "stem.conv1 are of another type"),
        (lambda weights: b"\x38\x4b\x0d\0" + weights[4:], "stem.conv1 are of another type"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change: Callable[[bytes], bytes], message: str) -> None:
    converted = convert(canonical_graph())
    with pytest.raises(NetworkError, match=message):
        files_of(converted.param, change(converted.weights))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_changed_is_refused_or_computed(seed: int) -> None:
    """A network that passes gives the shapes that were worked out for it, and ncnn does not crash on it."""
    converted, chance = convert(quantized()), random.Random(seed)
    numbers = ("0", "1", "2", "3", "16", "-1", "255", "65536", "2147483647")
    for _ in range(60):
        lines = converted.param.splitlines()
        place = chance.randrange(2, len(lines))
        lines[place] = re.sub(
            r"(?<==)\d+", lambda m: chance.choice(numbers) if chance.random() < 0.2 else m.group(), lines[place]
        )
        try:
            files = files_of("\n".join(lines), converted.weights)
            net = opened(files, 1, {})
        except NetworkError:
            continue
        image = np.ones(files.shapes["image"], np.float32)
        assert computed(net, {"image": image}, ["logits"])["logits"].shape == files.shapes["logits"]
