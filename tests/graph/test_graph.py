"""The exported ONNX graph: what is in it, what it is called, and that it computes what PyTorch computes."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from dmformer.errors import ExportError, UsageError
from dmformer.graph import passes
from dmformer.graph.from_torch import MAX_OPSET, MIN_OPSET, GraphOptions
from dmformer.graph.half import MIN_ELEMENTS, compress_weights
from dmformer.graph.onnx_model import assert_computes, make_onnx
from dmformer.model.canonical import canonicalize
from dmformer.model.network import DMFormer
from dmformer.model.random_weights import random_checkpoint
from dmformer.preprocessing import Preprocessing
from tests.support import CLASSES, ROOT, TINY, Notes, random_batch

LABELS = tuple(f"Klasse {index} é" for index in range(CLASSES))
BLOCKS = sum(TINY.depths)
PLAIN = GraphOptions((32, 32))
LARGER = GraphOptions((64, 64))
"""At 32x32 the last feature map is one pixel, and onnxsim rightly drops the pooling of it."""


@cache
def network(canonical: bool = True) -> DMFormer:
    reference = random_checkpoint(TINY, size=32).build()
    return canonicalize(reference) if canonical else reference


@cache
def _graph(options: GraphOptions, canonical: bool) -> onnx.ModelProto:
    return make_onnx(network(canonical), options, Preprocessing(size=options.size), LABELS)


def graph(options: GraphOptions = PLAIN, canonical: bool = True) -> onnx.ModelProto:
    return _graph(options, canonical)


def run(model: onnx.ModelProto, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": batch})[0], np.float32)


def expected(batch: NDArray[np.float32], canonical: bool = True) -> NDArray[np.float32]:
    with torch.inference_mode():
        return np.asarray(network(canonical)(torch.from_numpy(batch)).numpy(), np.float32)


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


@pytest.mark.parametrize("simplify", [True, False])
@pytest.mark.parametrize("canonical", [True, False])
def test_one_gelu_node_for_each_gelu(simplify: bool, canonical: bool) -> None:
    found = operators(graph(GraphOptions((32, 32), simplify=simplify), canonical))
    assert found["Gelu"] == BLOCKS, "one in the FFN of every block"
    assert found["Erf"] == found["Tanh"] == 0


def test_nothing_of_batch_norm_and_layer_scale_is_left_in_the_canonical_graph() -> None:
    found = operators(graph(LARGER))
    assert found["BatchNormalization"] == 0
    assert found["GlobalAveragePool"] == BLOCKS, "one for each gate"
    assert found["ReduceMean"] == 1, "the head's, which keeps no dimension"
    assert found["Mul"] == BLOCKS, "the gates' products alone"


@pytest.mark.parametrize("simplify", [True, False])
@pytest.mark.parametrize("canonical", [True, False])
def test_the_graph_computes_what_pytorch_computes(simplify: bool, canonical: bool) -> None:
    batch = random_batch(1)
    found = run(graph(GraphOptions((32, 32), simplify=simplify), canonical), batch)
    np.testing.assert_allclose(found, expected(batch, canonical), atol=1e-5)


def test_nodes_are_named_by_their_modules_and_nothing_twice() -> None:
    names = [node.name for node in graph(LARGER).graph.node]
    assert len(set(names)) == len(names)
    modules = {name for name, _ in network().named_modules() if name}
    weighted = {node.name for node in graph(LARGER).graph.node if node.op_type in ("Conv", "Gemm")}
    assert weighted <= modules, weighted - modules
    assert {"stages.0.0.dma.expand", "head"} & weighted
    outside = [name for name in names if not name.startswith(tuple(modules))]
    assert not outside, "every node belongs to a module"
    assert "head.reducemean" in names


def test_tensors_are_named_by_the_nodes_that_compute_them() -> None:
    model = graph().graph
    assert [value.name for value in model.input] == ["image"]
    assert [value.name for value in model.output] == ["logits"]
    values = [(node.name, value) for node in model.node for value in node.output]
    assert len({value for _, value in values}) == len(values)
    assert all(value in ("logits", f"{name}:0") for name, value in values)
    weights = {entry.name for entry in model.initializer if entry.name.endswith(".weight")}
    assert weights <= set(network().state_dict())
    assert weights


def test_the_file_says_how_to_prepare_an_image_and_what_the_classes_are() -> None:
    said = {entry.key: entry.value for entry in graph().metadata_props}
    assert sorted(said) == [entry.key for entry in graph().metadata_props], "sorted"
    assert Preprocessing.model_validate_json(said["dmformer.preprocessing"]) == Preprocessing(size=(32, 32))
    assert tuple(json.loads(said["dmformer.labels"])) == LABELS
    assert json.loads(said["dmformer.config"])["widths"] == list(TINY.widths)
    assert graph().producer_name == "dmformer"
    without = make_onnx(network(), GraphOptions((32, 32)), Preprocessing(size=(32, 32)), None)
    assert "dmformer.labels" not in {entry.key for entry in without.metadata_props}


@pytest.mark.parametrize("simplify", [True, False])
def test_no_path_of_this_machine_is_in_the_bytes(simplify: bool) -> None:
    content = graph(GraphOptions((32, 32), simplify=simplify)).SerializeToString()
    for path in (str(ROOT), str(Path.home()), str(Path(torch.__file__).parent), "site-packages", ".py", "/tmp"):
        assert path.encode() not in content, path


def test_every_shape_is_inferred() -> None:
    model = graph().graph
    inferred = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in model.value_info}
    computed = {name for node in model.node for name in node.output} - {"logits"}
    assert computed <= inferred.keys()
    assert all(all(dims) for dims in inferred.values()), "a fixed batch leaves no dimension open"


def test_a_dynamic_batch_takes_every_size() -> None:
    model = graph(GraphOptions((32, 64), dynamic=True))
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert dims[0].dim_param
    assert [dim.dim_value for dim in dims[1:]] == [3, 32, 64]
    for count in (1, 2, 5):
        batch = np.random.default_rng(count).standard_normal((count, 3, 32, 64), dtype=np.float32)
        np.testing.assert_allclose(run(model, batch), expected(batch), atol=1e-5)


def test_a_fixed_batch_is_the_one_asked_for() -> None:
    model = graph(GraphOptions((32, 32), batch=3))
    assert [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] == [3, 3, 32, 32]
    np.testing.assert_allclose(run(model, random_batch(3)), expected(random_batch(3)), atol=1e-5)


@pytest.mark.parametrize("opset", range(MIN_OPSET, MAX_OPSET + 1))
def test_every_opset_that_is_offered_gives_a_graph_that_computes(opset: int) -> None:
    model = graph(GraphOptions((32, 32), opset=opset))
    assert [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")] == [opset]
    assert operators(model)["Gelu"] >= BLOCKS
    assert assert_computes(model, network(), random_batch(2)) <= 1e-5


@pytest.mark.parametrize("opset", [19, 24, -1])
def test_other_opsets_are_refused(opset: int) -> None:
    with pytest.raises(UsageError, match=f"opset {opset} is out of range"):
        GraphOptions((32, 32), opset=opset)


@pytest.mark.parametrize("size", [(33, 32), (32, 100), (0, 32), (-32, 32), (16, 16), (8224, 32)])
def test_sizes_that_the_network_cannot_take(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=f"{size[0]}x{size[1]}") as caught:
        GraphOptions(size)
    assert "--imgsz" in str(caught.value.hint)


@pytest.mark.parametrize("batch", [0, -1, 4097])
def test_batches_out_of_range(batch: int) -> None:
    with pytest.raises(UsageError, match="out of range"):
        GraphOptions((32, 32), batch=batch)


def test_half_storage_halves_the_weights_and_keeps_the_answers_and_the_original() -> None:
    before = graph().SerializeToString()
    half = compress_weights(graph())
    assert graph().SerializeToString() == before, "a copy is compressed"
    onnx.checker.check_model(half, full_check=True)
    stored = {entry.name: numpy_helper.to_array(entry) for entry in half.graph.initializer}
    large = [array for array in stored.values() if array.size >= MIN_ELEMENTS and array.dtype.kind == "f"]
    assert {array.dtype for array in large} == {np.dtype(np.float16)}
    assert half.ByteSize() < 0.75 * graph().ByteSize()
    np.testing.assert_allclose(run(half, random_batch(1)), expected(random_batch(1)), atol=0.05)


def test_a_weight_beyond_float16_stays_float32() -> None:
    model = onnx.ModelProto()
    model.CopyFrom(graph())
    first = next(entry for entry in model.graph.initializer if entry.name.endswith(".weight"))
    first.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(first) + np.float32(1e5), first.name))
    stored = {entry.name: numpy_helper.to_array(entry).dtype for entry in compress_weights(model).graph.initializer}
    assert stored[first.name] == np.float32
    assert np.float16 in stored.values()


def test_a_graph_that_computes_something_else_is_found() -> None:
    model = onnx.ModelProto()
    model.CopyFrom(graph())
    bias = next(entry for entry in model.graph.initializer if entry.name.endswith("head.bias"))
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.01), bias.name))
    with pytest.raises(ExportError, match="does not compute what PyTorch computes"):
        assert_computes(model, network(), random_batch(2))
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) * np.float32(np.nan), bias.name))
    with pytest.raises(ExportError, match="does not compute"):
        assert_computes(model, network(), random_batch(2))


def test_a_graph_that_is_not_valid_is_found_by_the_check() -> None:
    model = onnx.ModelProto()
    model.CopyFrom(graph())
    model.graph.node[0].op_type = "Nonsense"
    with pytest.raises(ExportError, match="not valid"):
        passes.check(model)
    with pytest.raises(ExportError, match="cannot load"):
        assert_computes(model, network(), random_batch(1))


def exported_with(notes: Notes) -> onnx.ModelProto:
    return make_onnx(network(), PLAIN, Preprocessing(size=PLAIN.size), LABELS, notes)


def test_what_onnxsim_changed_is_said() -> None:
    notes = Notes()
    exported_with(notes)
    # One pixel is its own mean.
    assert notes.said == ["onnxsim: 1 ReduceMean fewer, 1 Squeeze more"]
    quiet = Notes()
    make_onnx(network(), LARGER, Preprocessing(size=LARGER.size), LABELS, quiet)
    assert quiet.said == []


@pytest.mark.parametrize("fails", [True, False])
def test_onnxsim_breaks_no_export(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def simplify(model: onnx.ModelProto) -> tuple[onnx.ModelProto, bool]:
        if fails:
            raise RuntimeError("no such operator\nand a long trace")
        return onnx.ModelProto(), False

    monkeypatch.setattr("onnxsim.simplify", simplify)
    notes, batch = Notes(), random_batch(3)
    found = run(exported_with(notes), batch[:1])
    assert np.abs(found - expected(batch[:1])).max() < 1e-4
    reason = "onnxsim failed (no such operator)" if fails else "onnxsim changed what it computes"
    assert notes.said == [f"the graph is not simplified: {reason}"]
