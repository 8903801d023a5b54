"""Q/DQ: the arithmetic, the placement by each runtime's rules, and what ONNX Runtime really fuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import numpy_helper

from dmformer.errors import ExportError, UsageError
from dmformer.graph.from_torch import GraphOptions
from dmformer.graph.onnx_model import make_onnx
from dmformer.graph.qdq.affine import (
    S8,
    S8_SYMMETRIC,
    SMALLEST_SCALE,
    U8,
    IntType,
    Range,
    affine,
    channel_scales,
    quantize_weight,
)
from dmformer.graph.qdq.coreml import activation_stats
from dmformer.graph.qdq.emitters import emitter_for
from dmformer.graph.qdq.graph import Graph
from dmformer.graph.qdq.insertion import INT32_LIMIT, guard_bias
from dmformer.graph.qdq.scheme import CPU_ISAS, scheme_for
from dmformer.graph.qdq.sites import COMPUTE, STEM, group_of, groups_of, select, site_values
from dmformer.model.canonical import canonicalize
from dmformer.model.random_weights import random_checkpoint
from dmformer.preprocessing import Preprocessing
from dmformer.targets import TARGETS
from tests.support import TINY, random_batch

SIDE = 64
BLOCKS = sum(TINY.depths)
LEVELS = len(TINY.kernels)


@cache
def canonical_graph() -> onnx.ModelProto:
    model = canonicalize(random_checkpoint(TINY, size=SIDE).build())
    return make_onnx(model, GraphOptions((SIDE, SIDE)), Preprocessing(size=(SIDE, SIDE)), None)


def run(model: onnx.ModelProto, batch: NDArray[np.float32], optimized: Path | None = None) -> list[NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(value) for value in session.run(None, {"image": batch})]


@cache
def spans() -> Mapping[str, Range]:
    graph = Graph(canonical_graph())
    tapped = onnx.ModelProto()
    tapped.CopyFrom(canonical_graph())
    del tapped.graph.output[:]
    values = {site: value for site, value in site_values(graph).items() if site != "image"}
    tapped.graph.output.extend(onnx.helper.make_tensor_value_info(value, 1, None) for value in values.values())
    batch = random_batch(1, SIDE)
    found = dict(zip(values, run(tapped, batch), strict=True)) | {"image": batch}
    return {site: Range(float(array.min()), float(array.max())) for site, array in found.items()}


def quantized(target: str, int8_groups: Collection[str] | None = None, isa: str = "avx512-vnni") -> onnx.ModelProto:
    groups = groups_of(canonical_graph()) if int8_groups is None else int8_groups
    return emitter_for(target, isa)(canonical_graph(), spans(), groups)


def without(*kinds: str) -> frozenset[str]:
    groups = groups_of(canonical_graph())
    return frozenset(groups) - select(groups, kinds)


def sqnr(model: onnx.ModelProto) -> float:
    batch = random_batch(1, SIDE, seed=0)
    expected, found = run(canonical_graph(), batch)[0], run(model, batch)[0]
    return float(10 * np.log10(np.square(expected).sum() / np.square(expected - found).sum()))


def fused(model: onnx.ModelProto, tmp_path: Path) -> Counter[str]:
    """The operators of the graph that ONNX Runtime makes of a model."""
    run(model, random_batch(1, SIDE), tmp_path / "optimized.onnx")
    return Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)


ends = st.floats(-1e4, 1e4, allow_nan=False)


class TestAffine:
    @given(ends, ends, st.sampled_from([U8, S8, S8_SYMMETRIC]))
    def test_zero_is_exact_and_the_range_is_covered(self, one: float, other: float, kind: IntType) -> None:
        low, high = sorted((one, other))
        found = affine(Range(low, high), kind)
        assert kind.lowest <= found.zero_point <= kind.highest
        slack = found.scale * 1.001
        assert (kind.lowest - found.zero_point) * found.scale <= min(low, 0) + slack
        assert (kind.highest - found.zero_point) * found.scale >= max(high, 0) - slack

    def test_symmetric_zero_point(self) -> None:
        assert affine(Range(-1, 3), S8_SYMMETRIC).zero_point == 0

    def test_a_tensor_of_zeros(self) -> None:
        assert affine(Range(0, 0), U8).scale == pytest.approx(SMALLEST_SCALE)

    @given(st.integers(0, 1000), st.sampled_from([63, 127]))
    def test_weights_are_within_half_a_step(self, seed: int, reach: int) -> None:
        random = np.random.default_rng(seed)
        weight = (random.standard_normal((5, 3, 3, 3)) * np.exp(random.normal(0, 3, (5, 1, 1, 1)))).astype(np.float32)
        scales = channel_scales(weight, reach)
        codes = quantize_weight(weight, scales, reach)
        assert np.abs(codes).max() == reach
        shaped = scales[:, None, None, None]
        assert (np.abs(codes * shaped - weight) <= shaped * 0.5001).all()

    def test_biases_that_would_overflow_raise_their_weight_scale(self) -> None:
        scales = np.array([1e-2, 1e-9], np.float32)
        guarded = guard_bias(scales, np.array([1.0, 1.0], np.float32), data_scale=0.01)
        assert guarded[0] == scales[0]
        assert abs(1.0 / (guarded[1] * 0.01)) < INT32_LIMIT / 3.9


EMITTING = [row.name for row in TARGETS.values() if row.emitter]


class TestScheme:
    @pytest.mark.parametrize("isa", CPU_ISAS)
    def test_every_instruction_set_has_one(self, isa: str) -> None:
        found = scheme_for(isa)
        assert found.activation.signed == isa.startswith("arm64")
        assert found.weight_reach == (63 if isa in ("avx2", "avx512") else 127)

    def test_unknown(self) -> None:
        with pytest.raises(UsageError, match="'sse9' is not known"):
            scheme_for("sse9")
        with pytest.raises(UsageError, match="no target 'onnx2'"):
            emitter_for("onnx2", "avx2")


class TestEveryTarget:
    @pytest.mark.parametrize("target", EMITTING)
    def test_it_is_valid_onnx_with_the_same_interface(self, target: str) -> None:
        model = quantized(target)
        onnx.checker.check_model(model, full_check=True)
        assert [value.name for value in model.graph.input] == ["image"]
        assert [value.name for value in model.graph.output] == ["logits"]

    @pytest.mark.parametrize("target", EMITTING)
    def test_the_answers_stay(self, target: str) -> None:
        assert sqnr(quantized(target)) > 20

    @pytest.mark.parametrize("target", EMITTING)
    def test_same_bytes(self, target: str) -> None:
        one, other = (quantized(target).SerializeToString(deterministic=True) for _ in range(2))
        assert one == other

    @pytest.mark.parametrize("target", EMITTING)
    def test_no_integer_group_is_the_float_graph(self, target: str) -> None:
        model = quantized(target, ())
        assert not any(node.op_type == "QuantizeLinear" for node in model.graph.node)
        assert np.array_equal(run(model, random_batch(1, SIDE))[0], run(canonical_graph(), random_batch(1, SIDE))[0])

    @pytest.mark.parametrize("target", EMITTING)
    def test_groups_are_switched_one_by_one(self, target: str) -> None:
        model = quantized(target, without("ffn", *STEM))
        weights = {node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
        assert not any(".ffn." in name and "weight" in name for name in weights)
        assert "stem.conv1.weight/quantized" not in weights
        assert "stages.0.0.dma.expand.weight/quantized" in weights

    @pytest.mark.parametrize("target", EMITTING)
    def test_a_missing_range_is_named(self, target: str) -> None:
        missing = {site: span for site, span in spans().items() if site != "stages.0.0.dma.expand"}
        with pytest.raises(ExportError, match=r"no activation range for stages\.0\.0\.dma\.expand"):
            emitter_for(target, "avx2")(canonical_graph(), missing, groups_of(canonical_graph()))

    def test_the_source_is_not_changed(self) -> None:
        before = canonical_graph().SerializeToString(deterministic=True)
        quantized("onnxruntime")
        assert canonical_graph().SerializeToString(deterministic=True) == before


class TestOnnxRuntime:
    """What the issue asks for is read from the graph that the runtime itself writes."""

    def test_every_conv_add_and_multiply_is_fused(self, tmp_path: Path) -> None:
        found = fused(quantized("onnxruntime"), tmp_path)
        convs = 3 + 3 + BLOCKS * (1 + LEVELS + 1 + 2 + 2)
        assert found["QLinearConv"] == convs
        assert found["Conv"] + found["FusedConv"] == 0
        assert found["QLinearAdd"] == BLOCKS * (LEVELS - 1 + 2)
        assert found["Add"] == 0
        assert found["QLinearMul"] == BLOCKS * 2  # the gate, and the GELU
        assert found["Mul"] + found["Sigmoid"] + found["Gelu"] + found["Relu"] == 0
        assert found["QLinearSigmoid"] == BLOCKS * 2
        assert found["QGemm"] == 1

    def test_gate_residual_and_gelu_in_float(self, tmp_path: Path) -> None:
        found = fused(quantized("onnxruntime", without("dma.gate", "dma.mul", "residual", "ffn.gelu")), tmp_path)
        assert found["QLinearConv"] == 3 + 3 + BLOCKS * (1 + LEVELS + 1 + 2)
        assert found["QLinearAdd"] == BLOCKS * (LEVELS - 1)
        assert found["Gelu"] == BLOCKS
        assert found["Add"] == BLOCKS * 2
        assert found["QLinearSigmoid"] + found["QLinearMul"] == 0

    def test_the_gelu_in_integers_is_close(self) -> None:
        assert sqnr(quantized("onnxruntime")) > sqnr(quantized("onnxruntime", without("ffn.gelu"))) - 3

    def test_seven_bits_without_vnni(self) -> None:
        model = quantized("onnxruntime", isa="avx2")
        codes = [entry for entry in model.graph.initializer if entry.name.endswith("weight/quantized")]
        assert max(np.abs(numpy_helper.to_array(entry).astype(int)).max() for entry in codes) == 63

    def test_signed_activations_on_arm(self) -> None:
        model = quantized("onnxruntime", isa="arm64-dotprod")
        zero = next(entry for entry in model.graph.initializer if entry.name == "image/zero_point")
        assert numpy_helper.to_array(zero).dtype == np.int8
        assert sqnr(model) > 20

    def test_a_tiny_weight_does_not_overflow_its_bias(self) -> None:
        """Depthwise channels of almost no weight but with a bias: int32 would wrap (onnxruntime issue 11415)."""
        graph = Graph(canonical_graph())
        for part, value in (("weight", 1e-12), ("bias", 1.0)):
            name = f"stages.0.0.dma.levels.0.{part}"
            array = graph.array(name).copy()
            array[0] = value
            graph.set_array(name, array)
        model = graph.model()
        found = emitter_for("onnxruntime", "avx512-vnni")(model, spans(), groups_of(model))
        codes = next(e for e in found.graph.initializer if e.name == "stages.0.0.dma.levels.0.bias/quantized")
        assert np.abs(numpy_helper.to_array(codes).astype(np.int64)).max() <= 2**31 / 3.9


def pairs(model: onnx.ModelProto) -> dict[str, set[str]]:
    """Readers of each quantized activation."""
    graph = Graph(model)
    found = {}
    for node in graph.nodes:
        if node.op_type == "QuantizeLinear":
            (dequantize,) = graph.readers(node.output[0])
            found[node.input[0].removesuffix(":0")] = {reader.name for reader in graph.readers(dequantize.output[0])}
    return found


class TestOpenVino:
    def test_only_inputs_of_layers_with_weights_are_quantized(self) -> None:
        model = quantized("openvino", without("dma.gate"))
        operators = {node.name: node.op_type for node in model.graph.node}
        for readers in pairs(model).values():
            assert {operators[name] for name in readers} <= set(COMPUTE)

    def test_the_three_levels_share_one_pair(self) -> None:
        readers = pairs(quantized("openvino"))["stages.0.0.dma.expand"]
        assert readers == {f"stages.0.0.dma.levels.{level}" for level in range(LEVELS)}

    def test_biases_stay_float(self) -> None:
        assert "stem.conv3.bias" in {entry.name for entry in quantized("openvino").graph.initializer}


class TestTensorRt:
    def test_everything_is_symmetric_with_zero_point_zero(self) -> None:
        model = quantized("tensorrt")
        zeros = [entry for entry in model.graph.initializer if entry.name.endswith("zero_point")]
        assert len(zeros) > 20
        for entry in zeros:
            values = numpy_helper.to_array(entry)
            assert values.dtype == np.int8
            assert not values.any()

    def test_only_the_skip_input_of_a_residual_addition(self) -> None:
        graph = Graph(quantized("tensorrt"))
        for name in ("stages.1.0.add", "stages.1.0.add.1"):
            sources = [graph.producers[value].op_type for value in graph.by_name[name].input]
            assert sorted(source == "DequantizeLinear" for source in sources) == [False, True]
        assert pairs(quantized("tensorrt"))["stages.1.0.add"] >= {"stages.1.0.ffn.conv1", "stages.1.0.add.1"}

    def test_additions_of_levels_and_the_gate_stay_float(self) -> None:
        readers = {name for names in pairs(quantized("tensorrt")).values() for name in names}
        assert not any(".dma.add" in name or ".dma.mul" in name for name in readers)

    def test_weights_per_output_channel(self) -> None:
        scales = {e.name: e.dims for e in quantized("tensorrt").graph.initializer if e.name.endswith("weight/scale")}
        assert list(scales["stages.0.0.dma.levels.0.weight/scale"]) == [2 * TINY.widths[0]]


class TestCoreMl:
    def test_symmetric_and_additions_untouched(self) -> None:
        readers = {name for names in pairs(quantized("coreml")).values() for name in names}
        assert not any("add" in name for name in readers)

    def test_activation_stats_by_layer(self) -> None:
        found = activation_stats(canonical_graph(), spans(), without("dma.gate"))
        assert found["stages.0.0.dma.fuse"] == {
            "rmin": spans()["stages.0.0.dma.relu"].low,
            "rmax": spans()["stages.0.0.dma.relu"].high,
        }
        assert not any("gate" in layer for layer in found)


class TestNames:
    @pytest.mark.parametrize(
        ("node", "group"),
        [
            ("stem.conv2", "stem.conv2"),
            ("downsamples.1", "downsamples.1"),
            ("stages.0.1.dma.expand", "stages.0.1.dma.expand"),
            ("stages.0.1.dma.levels.2", "stages.0.1.dma.levels.2"),
            ("stages.0.1.dma.add.1", "stages.0.1.dma.sum"),
            ("stages.0.1.dma.gate.expand", "stages.0.1.dma.gate"),
            ("stages.0.1.dma.mul", "stages.0.1.dma.mul"),
            ("stages.0.1.add.1", "stages.0.1.residual"),
            ("stages.0.1.ffn.conv2", "stages.0.1.ffn"),
            ("stages.0.1.ffn.gelu", "stages.0.1.ffn.gelu"),
            ("head", "head"),
            ("head.neck.lateral_convs.3.conv", "head.neck.lateral_convs.3"),
            ("head.scale_heads.3.4.conv", "head.scale_heads.3.4"),
            ("head.neck.add.2", "head.neck.add"),
            ("head.conv_seg", "head.conv_seg"),
        ],
    )
    def test_groups(self, node: str, group: str) -> None:
        assert group_of(node) == group

    def test_nodes_need_names_of_their_own(self) -> None:
        model = onnx.ModelProto()
        model.CopyFrom(canonical_graph())
        model.graph.node[1].name = model.graph.node[0].name
        with pytest.raises(ExportError, match="without a name of their own"):
            Graph(model)
