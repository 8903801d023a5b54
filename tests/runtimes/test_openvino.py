"""OpenVINO's IR."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dmformer import host
from dmformer.bundle import Bundle
from dmformer.evaluation.verify import verify
from dmformer.runtimes.base import Session
from dmformer.runtimes.openvino import Layer, OpenVinoSession, precision_of_layers
from dmformer.runtimes.registry import open_bundle
from dmformer.summary import summarize
from tests.runtimes.contract import RuntimeContract


class TestOpenVino(RuntimeContract):
    target = "openvino"
    provider = "CPU"
    half_db = 45.0  # bfloat16 arithmetic, where the CPU has it

    def threads_of(self, session: Session) -> int:
        assert isinstance(session, OpenVinoSession)
        return int(session._compiled.get_property("INFERENCE_NUM_THREADS"))


def test_fp32_engines_compute_in_float32_and_fp16_ones_in_what_the_cpu_is_best_at(
    exported: Callable[..., Path],
) -> None:
    full, half = (Bundle.load(exported("openvino", precision=precision)).manifest for precision in ("fp32", "fp16"))
    assert full.precision.executes == "float32"
    assert full.runtime.options["INFERENCE_PRECISION_HINT"] == "f32"
    fast = {"amx-bf16", "avx512-bf16", "arm-bf16", "arm-fp16"} & set(host.cpu().isa)
    assert half.precision.executes in ({"bfloat16", "float16"} if fast else {"float32"})


ARM = [Layer("Convolution", "acl_f16", "f16")] * 60 + [Layer("Convolution", "gemm_acl_f16", "f16")] * 36
"""What OpenVINO 2026 on a Cortex-A76 lists for an INT8 engine: one fully connected layer is in integers."""
ARM_LAST = [Layer("FullyConnected", "gemm_acl_u8", "u8"), Layer("Reorder", "ref_any_f16", "f16")]


def layers_of(*primitives: str) -> list[Layer]:
    return [Layer("Convolution", primitive, primitive.rpartition("_")[2].lower()) for primitive in primitives]


@pytest.mark.parametrize(
    ("layers", "hint", "requested", "expected"),
    [
        (ARM + ARM_LAST, "bf16", "int8", "float16 (int8: none of 96 convolutions)"),
        (ARM + ARM_LAST, "f16", "fp16", "float16"),
        (ARM[:90] + layers_of(*["brgconv_avx512_I8"] * 6), "f32", "int8", "float16 (int8: 6 of 96 convolutions)"),
        (layers_of("brgconv_avx512_I8", "brgconv_avx512_1x1_bf16"), "bf16", "int8", "int8 with bfloat16"),
        (layers_of("brgconv_avx512_I8"), "f32", "int8", "int8 with float32"),
        (layers_of("jit_avx512_dw_f32", "brgconv_avx512_f32"), "bf16", "fp16", "float32"),
        ([], "f32", "fp32", "float32"),
        ([Layer("Convolution", "unknown", "f16")], "f32", "fp32", "float16"),
    ],
)
def test_what_executes_is_what_the_layers_say(layers: list[Layer], hint: str, requested: str, expected: str) -> None:
    assert precision_of_layers(layers, hint, requested) == expected


@pytest.mark.parametrize("requested", ["int8", "fp32"])
def test_a_compiled_float_engine_is_seen_as_one_whatever_the_manifest_says(
    exported: Callable[..., Path], requested: str
) -> None:
    bundle = Bundle.load(exported("openvino"))
    precision = bundle.manifest.precision.model_copy(update={"requested": requested, "executes": "int8 with bfloat16"})
    claimed = replace(bundle, manifest=bundle.manifest.model_copy(update={"precision": precision}))
    with open_bundle(claimed) as session:
        executes = session.execution.precision
    assert (
        executes == "float32"
        if requested == "fp32"
        else re.fullmatch(r"float32 \(int8: none of \d+ convolutions\)", executes)
    )
    proof = verify(claimed)
    assert proof.executes == summarize(claimed, proof)["executes"] == executes
