"""OpenVINO's IR."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dmformer import host
from dmformer.bundle import Bundle
from dmformer.runtimes.base import Session
from dmformer.runtimes.openvino import OpenVinoSession
from tests.runtimes.contract import RuntimeContract


class TestOpenVino(RuntimeContract):
    target = "openvino"
    package = "openvino"
    provider = "CPU"
    half_tolerance = 0.25  # bfloat16 arithmetic, where the CPU has it

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
