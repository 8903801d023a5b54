"""INT8 on the road: calibration, cache, plan, floor and verdict, on a tiny network."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from dmformer import assets, host
from dmformer.bundle import Bundle
from dmformer.calibration.plan import load_plan
from dmformer.calibration.sensitivity import units_of
from dmformer.data.idx import read_idx
from dmformer.errors import DataError, UsageError
from dmformer.evaluation.verify import verify
from dmformer.graph.qdq.scheme import CPU_ISAS as EMITTER_ISAS
from dmformer.graph.qdq.scheme import scheme_for
from dmformer.model.random_weights import random_checkpoint
from dmformer.pipeline import quantizing, trial
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.layer_errors import errors_of
from dmformer.pipeline.options import CPU_ISAS, ExportOptions, Int8Options
from dmformer.pipeline.studies import study_sensitivity, write_ranges
from dmformer.progress import Silent
from dmformer.runtimes.tensorrt.runtime import TensorRt
from dmformer.summary import summarize
from tests.support import LOOSE, TINY, Notes, random_images, snapshot

COUNT = 16
FEW = {"stem.conv1", "stem.conv2", "stages.0.*.ffn", "stages.3.*.residual", "head"}


@pytest.fixture(autouse=True)
def _short_timings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "ROUNDS", 1)
    monkeypatch.setattr(trial, "SLICE_S", 0.001)


@pytest.fixture
def few_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sensitivities of a few units only: each is a graph of its own."""

    def few(*arguments: Any) -> dict[str, tuple[str, ...]]:
        return {unit: groups for unit, groups in units_of(*arguments).items() if unit in FEW}

    monkeypatch.setattr(quantizing, "units_of", few)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images without labels, to calibrate with: like the golden samples of an export without data."""
    path = tmp_path_factory.mktemp("calibration") / "images.npz"
    np.savez(path, images=read_idx(assets.calibration_images())[:COUNT])
    return path


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images like those of `labelled`, none of them the same."""
    path = tmp_path_factory.mktemp("calibration") / "noise.npz"
    np.savez(path, images=random_images(COUNT, seed=5))
    return path


def options(output: Path, images: Path | None, **changes: object) -> ExportOptions:
    int8 = Int8Options(calibration=images, images=COUNT, cache=output.parent / "ranges")
    chosen = ExportOptions(output=output, golden_images=4, precision="int8", tolerance=LOOSE, int8=int8)
    return replace(chosen, **changes)  # type: ignore[arg-type]


def with_int8(chosen: ExportOptions, **changes: object) -> ExportOptions:
    return replace(chosen, int8=replace(chosen.int8, **changes))  # type: ignore[arg-type]


def operators(bundle: Bundle) -> list[str]:
    return [node.op_type for node in onnx.load(bundle.path / "model.onnx").graph.node]


def test_both_runtimes_from_one_calibration_beside_one_that_cannot_run_here(
    weights: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TensorRt, "missing", lambda self: "TensorRT is not installed: pip install tensorrt")
    notes = Notes()
    chosen = options(tmp_path / "out", images, targets=("onnxruntime", "tensorrt", "openvino"))
    first, absent, second = export_bundles(weights, chosen, notes)
    assert absent.proof.notes[0].startswith("the engine itself was not run: TensorRT is not installed")
    assert summarize(absent.bundle, absent.proof)["notes"] == list(absent.proof.notes)
    assert first.proof.passed and second.proof.passed
    assert "QuantizeLinear" in operators(first.bundle)
    groups = first.bundle.manifest.precision.groups
    assert groups["stages.0.0.dma.gate"] == "float"
    assert groups["stages.0.0.dma.expand"] == "int8"
    assert first.verdict is not None and min(first.verdict.int8_ms, first.verdict.fp32_ms) > 0
    assert "onnxruntime INT8 here: " in "\n".join(notes.said)
    assert [line.partition(":")[0] for line in notes.said if " ~ " in line] == ["onnxruntime ~ openvino"]
    for outcome in (first, second):
        assert_channels_are_told_from_errors(outcome.bundle, weights)


def assert_channels_are_told_from_errors(bundle: Bundle, weights: Path) -> None:
    """Its channels are rescaled along the residual stream; its answers are nearly PyTorch's, so must be its tensors."""
    found = errors_of(bundle, weights, None)
    inner = {layer.node: layer.sqnr_db for layer in found.layers if layer.sqnr_db is not None}
    assert {"stem.conv3", "stages.0.0.dma.relu", "stages.3.0.ffn.conv2", "head"} <= set(inner)
    # Channels left as they are rescaled are at 0 dB. Where two products of full range would saturate weights have a bit
    # less.
    reach = scheme_for(host.int8_isa()).weight_reach
    assert min(inner.values()) > (15 if reach == 127 else 12), inner


def test_the_same_inputs_reuse_the_ranges_and_other_images_do_not(weights: Path, images: Path, tmp_path: Path) -> None:
    made, reused, other = Notes(), Notes(), Notes()
    first = export_bundles(weights, options(tmp_path / "1", images), made)[0]
    second = export_bundles(weights, options(tmp_path / "2", images), reused)[0]
    changed = tmp_path / "changed.npz"
    np.savez(changed, images=random_images(COUNT, seed=6))
    export_bundles(weights, options(tmp_path / "3", changed), other)
    assert not any("from the cache" in line for line in made.said), made.said
    assert not any("from the cache" in line for line in other.said)
    assert any("ranges from the cache" in line for line in reused.said)
    assert (first.bundle.path / "model.onnx").read_bytes() == (second.bundle.path / "model.onnx").read_bytes()


def test_no_cache_leaves_none(weights: Path, images: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    export_bundles(weights, with_int8(options(tmp_path / "out", images), use_cache=False, cache=cache))
    assert not cache.exists()


def test_a_ranges_file_gives_the_engine_that_measuring_gives(weights: Path, images: Path, tmp_path: Path) -> None:
    chosen = options(tmp_path / "1", images)
    measured = export_bundles(weights, chosen)[0]
    write_ranges(weights, chosen, tmp_path / "ranges.json", Silent())
    given = with_int8(options(tmp_path / "2", images), ranges=tmp_path / "ranges.json")
    from_file = export_bundles(weights, given)[0]
    assert operators(from_file.bundle) == operators(measured.bundle)
    assert (from_file.bundle.path / "model.onnx").read_bytes() == (measured.bundle.path / "model.onnx").read_bytes()


def test_a_plan_by_hand_is_followed(weights: Path, images: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"schema": "dmformer.plan/1", "groups": {"*": "float", "*.ffn": "int8"}}))
    outcome = export_bundles(weights, with_int8(options(tmp_path / "out", images), plan=plan))[0]
    groups = outcome.bundle.manifest.precision.groups
    assert {group for group, precision in groups.items() if precision == "int8"} == {
        f"stages.{stage}.0.ffn" for stage in range(4)
    }


@pytest.mark.usefixtures("few_units")
def test_a_broken_floor_puts_layers_back_to_float_until_the_proof_holds(
    weights: Path, noise: Path, labelled: Path, tmp_path: Path
) -> None:
    plain = export_bundles(weights, options(tmp_path / "1", noise, data=labelled))[0]
    sqnr = min(one.sqnr_db or 0.0 for one in plain.proof.comparisons)
    notes = Notes()
    tolerance = replace(LOOSE, min_sqnr=sqnr + 0.2)
    better = export_bundles(weights, options(tmp_path / "2", noise, data=labelled, tolerance=tolerance), notes)[0]
    said = "\n".join(notes.said)
    assert "below the floor" in said
    assert better.proof.passed, better.proof.failures
    before, after = (outcome.bundle.manifest.precision.groups for outcome in (plain, better))
    assert list(before.values()).count("float") < list(after.values()).count("float")
    returned = said.partition("back to float to hold the floor: ")[2].partition("\n")[0].split(", ")
    assert 0 < len(returned) <= 3
    for unit in returned:
        assert re.search(rf"back to float: {re.escape(unit)} \(\d+\.\d% of the noise, saves -?\d+\.\d+ ms\)", said)
    assert f"with {len(returned)} of 3 units in float: the proof holds" in said
    assert Bundle.load(better.bundle.path).manifest.files["plan.json"].role == "plan"
    assert load_plan(better.bundle.path / "plan.json").groups == after


@pytest.mark.usefixtures("few_units")
def test_a_floor_that_nothing_holds_is_rejected_with_the_best_engine_that_was_seen(
    weights: Path, images: Path, tmp_path: Path
) -> None:
    notes, tolerance = Notes(), replace(LOOSE, min_sqnr=500)
    outcome = export_bundles(weights, options(tmp_path / "out", images, tolerance=tolerance), notes)[0]
    assert not outcome.proof.passed
    assert outcome.bundle.path.name == "mini-onnxruntime-int8.rejected"
    assert any("the best engine is kept" in line for line in notes.said)
    seen = [float(figure) for line in notes.said for figure in re.findall(r"SQNR (\d+\.\d) dB is below", line)]
    kept = outcome.proof.comparisons[-1].sqnr_db
    assert kept is not None and len(seen) == 3 and seen[0] < round(kept, 1) == max(seen)
    assert verify(Bundle.load(outcome.bundle.path)).comparisons == outcome.proof.comparisons, (
        "the engine is the proof's"
    )


def test_images_without_labels_are_all_judged(weights: Path, images: Path, tmp_path: Path) -> None:
    chosen = options(tmp_path / "out", images, data=images, tolerance=replace(LOOSE, min_agreement=1.0, min_sqnr=500))
    plan = tmp_path / "plan.json"
    plan.write_text('{"schema": "dmformer.plan/1", "groups": {"head": "int8"}}')
    proof = export_bundles(weights, with_int8(chosen, plan=plan))[0].proof
    whole = proof.comparisons[-1]
    assert (whole.images, whole.figures) == (COUNT, {}) and whole.agreement is not None
    assert any("SQNR" in failure and failure.startswith(whole.data) for failure in proof.failures)


def test_a_plan_that_leaves_no_layer_in_integers_is_no_int8_engine(weights: Path, images: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text('{"schema": "dmformer.plan/1", "groups": {"*": "float", "*.residual": "int8"}}')
    with pytest.raises(UsageError, match="no layer in integers: that is the float engine of --fp32"):
        export_bundles(weights, with_int8(options(tmp_path / "out", images), plan=plan))
    assert not (tmp_path / "out").exists()


def test_images_that_serve_twice_are_named(weights: Path, labelled: Path, tmp_path: Path) -> None:
    notes = Notes()
    chosen = with_int8(options(tmp_path / "out", labelled, data=labelled), images=12)
    export_bundles(weights, chosen, notes)
    assert any(line.startswith("12 calibration images are verification images too") for line in notes.said)


def test_random_numbers_calibrate_only_when_they_are_allowed(weights: Path, tmp_path: Path) -> None:
    chosen = options(tmp_path / "out", None)
    with pytest.raises(UsageError, match="INT8 needs images"):
        export_bundles(weights, chosen)
    notes, strict = Notes(), replace(chosen, tolerance=replace(LOOSE, min_sqnr=500))
    assert export_bundles(weights, with_int8(strict, allow_random=True), notes)[0].bundle.path.is_dir()
    assert any("calibrating on random numbers" in line for line in notes.said)
    assert any("for speed alone: the plan is kept" in line for line in notes.said)
    assert not any("searching" in line for line in notes.said)


def _another_model(images: Path, folder: Path) -> Int8Options:
    path = folder / "other.json"
    write_ranges(random_checkpoint(TINY, seed=9, size=32), options(folder, images), path, Silent())
    return Int8Options(calibration=images, images=COUNT, ranges=path)


def _unknown_layers(images: Path, folder: Path) -> Int8Options:
    plan = folder / "plan.json"
    plan.write_text('{"schema": "dmformer.plan/1", "groups": {"stages.7.*": "float"}}')
    return Int8Options(calibration=images, images=COUNT, plan=plan)


def _constant_images(images: Path, folder: Path) -> Int8Options:
    path = folder / "constant.npz"
    np.savez(path, images=np.full((COUNT, 32, 32, 3), 7, np.uint8))
    return Int8Options(calibration=path, images=COUNT)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_another_model, "belong to another model"),
        (_unknown_layers, "no layer group of this model"),
        (_constant_images, "are constant"),
    ],
)
def test_wrong_int8_inputs_write_nothing(
    make: Callable[[Path, Path], Int8Options], words: str, weights: Path, images: Path, tmp_path: Path
) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    wrong = make(images, inputs)
    before = snapshot(inputs)
    with pytest.raises((DataError, UsageError), match=words):
        export_bundles(weights, options(tmp_path / "out", images, int8=wrong))
    assert snapshot(inputs) == before
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("few_units")
def test_every_unit_has_a_sensitivity_whatever_the_plan_makes_of_it(
    weights: Path, images: Path, tmp_path: Path
) -> None:
    found = {one.unit: one for one in study_sensitivity(weights, options(tmp_path, images), "stage", Silent())}
    assert set(found) == FEW
    assert {unit for unit, one in found.items() if one.planned == "float"} == {"stem.conv1", "stages.3.*.residual"}
    assert all(one.noise > 0 and np.isfinite(one.saved_ms) for one in found.values())


def test_the_options_know_the_emitters_instruction_sets() -> None:
    assert CPU_ISAS == EMITTER_ISAS
