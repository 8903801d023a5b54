"""Segmenters for NVIDIA's libraries: typed graphs and their twins, what a DLA takes of them, and engines for RTX."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from dmformer.bundle import Bundle
from dmformer.errors import UsageError
from dmformer.evaluation.layers.engine import engine_line
from dmformer.graph.dla import dla_report
from dmformer.pipeline.tensorrt_export import check_shapes
from dmformer.runtimes.tensorrt.bundles import tensorrt_family
from tests.conftest import Segmented
from tests.tensorrt.helpers import needs_rtx


def test_the_typed_graph_is_half_inside_and_keeps_the_factors_of_its_resizes(segmented: Segmented) -> None:
    bundle = Bundle.load(segmented("tensorrt", True, "fp16"))
    model = onnx.load(str(bundle.file("graph")))
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.output}
    assert kinds["scores"] == TensorProto.FLOAT and set(kinds) == {"scores", "classes"}
    constants = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
    factors = [constants[node.input[2]] for node in model.graph.node if node.op_type == "Resize"]
    assert {one.dtype for one in factors} == {np.dtype(np.float32)} and len(factors) == 10
    heads = [name for name in constants if name.startswith("head.") and name.endswith("weight/half")]
    assert heads and all(constants[name].dtype == np.float16 for name in heads)
    proof = bundle.manifest.proof
    assert proof is not None and (proof.by == "twin" or proof.executes)
    assert set(proof.comparisons[-1].figures) == {"miou", "aacc", "macc"}


def test_a_dla_takes_resizes_by_whole_factors(segmented: Segmented) -> None:
    model = onnx.load(str(Bundle.load(segmented("tensorrt", True, "fp16")).file("graph")))
    report = "\n".join(dla_report(model))
    assert "ArgMax is none of the DLA's layers" in report
    assert "resize" not in report.lower()
    for entry in model.graph.initializer:
        if tuple(entry.dims) == (4,) and entry.data_type == TensorProto.FLOAT:
            entry.CopyFrom(numpy_helper.from_array(np.array([1, 1, 8, 2.5], np.float32), entry.name))
    report = "\n".join(dla_report(model))
    assert "linear resize by 8x2.5: it must be by whole factors up to 4" in report
    assert "nearest resize by 8x2.5: it must be by whole factors up to 32" in report


@needs_rtx
def test_an_engine_for_rtx_is_built_here(segmented: Segmented) -> None:
    bundle = Bundle.load(segmented("tensorrt-rtx", True, "fp16"))
    assert bundle.manifest.answer is not None
    line = engine_line(bundle)
    assert line is not None and "computes in float16" in line


def test_a_graph_that_computes_with_open_sizes_is_refused() -> None:
    graph = onnx.ModelProto()
    graph.graph.node.append(onnx.helper.make_node("Shape", ["x"], ["y"]))
    with pytest.raises(UsageError, match="cannot build this head with open height and width"):
        check_shapes(graph, tensorrt_family("tensorrt"))
