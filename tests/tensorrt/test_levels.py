"""The depthwise levels: two graphs in a bundle, real builds of both, and the choice by given times."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dmformer.bundle import Bundle
from dmformer.errors import EngineError
from dmformer.manifest import Manifest
from dmformer.runtimes.base import EngineRequest
from dmformer.runtimes.child import time_in_child
from dmformer.runtimes.tensorrt.bundles import make_bundle, tensorrt_family
from dmformer.runtimes.tensorrt.levels import ALTERNATIVE, LevelsTiming, keep_faster, levels_in, timed, with_levels
from tests.conftest import Exported
from tests.support import Notes, snapshot
from tests.tensorrt.helpers import needs_rtx, parts, request_of

GROUPS = {"stages.0.0.dma.expand": "int8", "stages.0.0.dma.levels.0": "float", "stages.0.0.dma.levels.2": "float"}


@pytest.mark.parametrize(
    ("half_ms", "int8_ms", "faster"),
    [(1.0, 0.9, "int8"), (1.0, 0.99, "float"), (1.0, 1.2, "float"), (1.0, 1.0, "float")],
)
def test_int8_must_be_worth_it(half_ms: float, int8_ms: float, faster: str) -> None:
    timing = LevelsTiming(half_ms, int8_ms)
    assert timing.faster == faster
    assert f"int8 {int8_ms:.3f} ms, float16 {half_ms:.3f} ms" in str(timing)


def test_engines_are_timed_in_turn_and_noise_does_not_count(buildable: Bundle, rtx: Bundle) -> None:
    order: list[Path] = []
    given = {rtx.path: iter([3.0, 1.5, 2.0]), buildable.path: iter([1.2, 9.0, 1.1])}

    def measure(bundle: Bundle) -> float:
        order.append(bundle.path)
        return next(given[bundle.path])

    assert timed({"float": rtx, "int8": buildable}, measure) == LevelsTiming(half_ms=1.5, int8_ms=1.1)
    assert order == [rtx.path, buildable.path] * 3


def test_real_engines_are_timed_in_a_child(exported: Exported) -> None:
    assert 0 < time_in_child(Bundle.load(exported("onnxruntime"))) < 10_000


def test_the_manifest_follows_the_levels(buildable: Bundle) -> None:
    precision = buildable.manifest.precision.model_copy(update={"groups": GROUPS})
    manifest = buildable.manifest.model_copy(update={"precision": precision})
    assert levels_in(manifest.precision.groups) == "float"
    other = with_levels(manifest, "int8").precision.groups
    assert levels_in(other) == "int8" and other["stages.0.0.dma.expand"] == "int8"


@pytest.fixture(scope="module")
def both(
    exported: Exported, graphs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bundle, EngineRequest, Manifest]:
    """A TensorRT for RTX bundle built from the FP16 graph, with the INT8 graph of all groups as its alternative."""
    draft, golden = parts(exported("onnxruntime"))
    precision = draft.precision.model_copy(update={"groups": GROUPS})
    draft = draft.model_copy(update={"target": "tensorrt-rtx", "precision": precision})
    options = {ALTERNATIVE: str(graphs["int8"])}
    request = request_of(graphs["fp16"], tmp_path_factory.mktemp("both"), **options)
    return make_bundle(tensorrt_family("tensorrt-rtx"), request, draft, golden), request, draft


@needs_rtx
@pytest.mark.parametrize(("int8_ms", "kept"), [(0.5, "int8"), (2.0, "float16")])
def test_both_are_built_and_the_faster_stays(
    both: tuple[Bundle, EngineRequest, Manifest],
    graphs: dict[str, Path],
    tmp_path: Path,
    int8_ms: float,
    kept: str,
) -> None:
    original, request, draft = both
    path = tmp_path / "bundle"
    shutil.copytree(original.path, path)
    made = Bundle.load(path)
    assert made.manifest.file_with_role(ALTERNATIVE) == "alternative.onnx", "without a GPU both graphs travel"

    def build(wanted: EngineRequest, manifest: Manifest) -> Bundle:
        return make_bundle(tensorrt_family("tensorrt-rtx"), wanted, manifest, made.golden())

    notes = Notes()
    keep_faster(made, request, draft, build, lambda bundle: 1.0 if bundle.path == path else int8_ms, notes)
    found = Bundle.load(path)
    assert found.manifest.runtime.options["depthwise_levels"].startswith(f"{kept}, timed here")
    assert any(f"depthwise levels: {kept}" in note for note in notes.said)
    is_int8 = kept == "int8"
    assert levels_in(found.manifest.precision.groups) == ("int8" if is_int8 else "float")
    assert ("int8" in found.manifest.precision.executes) is is_int8
    chosen, other = ("int8", "fp16") if is_int8 else ("fp16", "int8")
    assert found.file("graph").read_bytes() == graphs[chosen].read_bytes()
    assert found.file(ALTERNATIVE).read_bytes() == graphs[other].read_bytes()


@needs_rtx
def test_an_alternative_that_does_not_build_is_left_out(
    both: tuple[Bundle, EngineRequest, Manifest], tmp_path: Path
) -> None:
    original, request, draft = both
    path = tmp_path / "bundle"
    shutil.copytree(original.path, path)
    before = snapshot(path)

    def build(wanted: EngineRequest, manifest: Manifest) -> Bundle:
        raise EngineError("no rule for this dequantize")

    notes = Notes()
    keep_faster(Bundle.load(path), request, draft, build, time_in_child, notes)
    assert notes.said[-1] == "the alternative is left out: no rule for this dequantize"
    after = snapshot(path)
    assert {name for name in after if after[name] != before[name]} == {"manifest.json", "golden.npz"}
    assert "could not be built" in Bundle.load(path).manifest.runtime.options["depthwise_levels"]
