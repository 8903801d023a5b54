"""Float parts of INT8 engines: in half precision where a CPU has it, unless that is what costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dmformer import host
from dmformer.bundle import Bundle
from dmformer.model.random_weights import random_checkpoint
from dmformer.pipeline import float_parts, trial
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions, Int8Options
from dmformer.progress import Silent
from dmformer.runtimes.base import Call
from dmformer.runtimes.openvino import PRECISION_HINT
from tests.support import LOOSE, TINY, random_images

FLOAT32 = {PRECISION_HINT: "f32"}


@pytest.fixture(autouse=True)
def _short_timings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "ROUNDS", 1)
    monkeypatch.setattr(trial, "SLICE_S", 0.001)


@pytest.fixture
def exported(tmp_path: Path) -> Any:
    images = tmp_path / "images.npz"
    np.savez(images, images=random_images(16, seed=5))

    def export() -> Bundle:
        int8 = Int8Options(calibration=images, images=16, cache=tmp_path / "ranges")
        options = ExportOptions(
            targets=("openvino",),
            output=tmp_path / "out",
            golden_images=4,
            precision="int8",
            tolerance=LOOSE,
            int8=int8,
        )
        (outcome,) = export_bundles(random_checkpoint(TINY, size=64), options, Silent())
        assert outcome.bundle is not None
        return outcome.bundle

    return export


def coarse_half(target: str, graph: Any, full_precision: bool = False) -> Call:
    """A runtime whose half precision keeps one bit of a number: no CPU need have one for that."""
    call = trial.opened(target, graph, full_precision)

    def rounded(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        mantissa, exponent = np.frexp(call(batch))
        return np.asarray(np.ldexp(np.rint(mantissa * 2) / 2, exponent), np.float32)

    return call if full_precision else rounded


@pytest.mark.parametrize(("slower", "options"), [(1e6, FLOAT32), (0.0, {})], ids=["as fast", "slower"])
def test_half_precision_that_costs_most_is_left_where_it_saves_no_time(
    slower: float, options: dict[str, str], exported: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "has_bfloat16", lambda: True)
    monkeypatch.setattr(float_parts, "opened", coarse_half)
    monkeypatch.setattr(float_parts, "SLOWER", slower)
    manifest = exported().manifest
    assert manifest.runtime.options == options
    if options:
        assert manifest.precision.executes == "int8 with float32"


@pytest.mark.skipif(host.has_bfloat16(), reason="here half precision is another than float32")
def test_half_precision_that_costs_nothing_is_kept(exported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are opened and measured in the runtime itself: without bfloat16 they are the same."""
    monkeypatch.setattr(host, "has_bfloat16", lambda: True)
    assert exported().manifest.runtime.options == {}


@pytest.mark.skipif(host.has_bfloat16(), reason="here there is something to measure")
def test_nothing_is_measured_where_there_is_no_half_precision(exported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(float_parts, "opened", lambda *arguments: pytest.fail("opened"))
    assert exported().manifest.runtime.options == {}
