"""Where parts stand below the machine's limits, on limits that are made up."""

from __future__ import annotations

import pytest

from dmformer.evaluation.latency.document import Layers, PartTime, Peaks
from dmformer.evaluation.layers.parts import work
from dmformer.evaluation.layers.roofline import BLOCK_BYTES, bound_of, copies, memory_rate, placed
from dmformer.model.config import PRESETS
from dmformer.runtimes.openvino import primitive_type
from tests.documents import make_result

PEAKS = Peaks(
    target="onnxruntime",
    gmacs_per_s={"float32": 100},
    copies=((64 << 10, 200), (1 << 20, 80), (64 << 20, 20)),
    copy_gb_per_s=20,
    cache_gb_per_s=200,
)


def part(name: str, ms: float, layers: int) -> PartTime:
    return PartTime(part=name, ms=ms, share=1, precision={"float32": 1.0}, layers=layers)


@pytest.mark.parametrize(
    ("block", "rate"), [(1000, 200), (60 << 10, 200), (1 << 20, 80), (16 << 20, 20), (1 << 30, 20)]
)
def test_memory_is_as_fast_as_the_level_that_a_block_fits_into(block: int, rate: float) -> None:
    assert memory_rate(PEAKS, block) == rate


def test_what_limits_a_part() -> None:
    assert bound_of(0.5, 0.2, 0.001) == "compute"
    assert bound_of(0.05, 0.2, 0.001) == "memory"
    assert bound_of(0.05, 0.02, 0.001) == "overhead"
    # Long layers far below either limit are slow kernels: the nearer limit is named.
    assert bound_of(0.05, 0.02, 5.0) == "compute"


def test_parts_are_placed_by_their_work() -> None:
    config = PRESETS["small"]
    amount = work(config, (224, 224))["FFN"]
    found = placed(
        Layers(source="", total_ms=1, parts=(part("FFN", 40, amount.operators),)),
        make_result(input=(1, 3, 224, 224)),
        config,
        PEAKS,
    ).parts[0]
    assert found.macs == amount.macs
    assert found.of_compute == pytest.approx(amount.macs / 100e9 / 40e-3)
    assert found.bound == "compute"


def test_additions_that_were_fused_away_move_nothing() -> None:
    config = PRESETS["small"]
    expected = work(config, (224, 224))["residuals"]
    whole, half = (
        placed(
            Layers(source="", total_ms=1, parts=(part("residuals", 5, layers),)),
            make_result(input=(1, 3, 224, 224)),
            config,
            PEAKS,
        ).parts[0]
        for layers in (expected.operators, expected.operators // 2)
    )
    assert whole.moved_bytes == 4 * expected.activations
    assert half.moved_bytes == whole.moved_bytes // 2


def test_copies_of_this_machine() -> None:
    found = copies(1)
    assert [size for size, _ in found["copies"]] == list(BLOCK_BYTES)
    assert found["cache_gb_per_s"] >= found["copy_gb_per_s"] > 0


@pytest.mark.parametrize(
    ("name", "precision"),
    [("brgconv_avx512_1x1_I8", "int8"), ("jit_avx512_dw_f32", "float32"), ("brgemm_avx512_bf16", "bfloat16")],
)
def test_openvinos_primitives_tell_their_precision(name: str, precision: str) -> None:
    assert primitive_type(name) == precision
