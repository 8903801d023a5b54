"""Engines that take any height and width in steps of 32: their answers, what they refuse, how they are proven."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import dmformer
from dmformer.bundle import Bundle
from dmformer.errors import DataError, UsageError
from dmformer.model.checkpoint import Checkpoint
from dmformer.model.network import DMFormer
from dmformer.pipeline.calibrating import read_set
from dmformer.pipeline.export import check_options, export_bundles, prepare
from dmformer.pipeline.int8_export import search_images
from dmformer.pipeline.options import ExportOptions, Int8Options
from dmformer.pipeline.requests import CalibrateOptions
from dmformer.pipeline.sources import open_sources
from dmformer.pipeline.studies import calibrate
from dmformer.pipeline.weights_options import WeightsOptions
from dmformer.precision import Precision
from dmformer.preprocessing import Preprocessing
from dmformer.progress import Silent
from dmformer.runtimes.engine import open_engine
from dmformer.runtimes.registry import open_bundle
from dmformer.runtimes.tensorrt.bundles import plan_in, tensorrt_family
from dmformer.runtimes.tensorrt.plan import BuildPlan, make_plan
from dmformer.runtimes.tensorrt.trtexec import trtexec_command
from dmformer.targets import TARGETS
from tests.support import LOOSE, compare, random_images

Made = Callable[..., Bundle]
SIZES = ((32, 32), (64, 32), (32, 96), (128, 160))
DB: dict[Precision, float] = {"fp32": 110, "fp16": 50, "int8": 18}


TARGETS_OF: dict[Precision, tuple[str, ...]] = {
    "fp32": ("onnxruntime", "openvino", "tensorrt"),
    "fp16": ("onnx", "tensorrt"),
    "int8": ("onnxruntime", "openvino"),
}
"""Exported together: the way to the graph is the longest part of it."""


@pytest.fixture(scope="module")
def made(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Made:
    images = tmp_path_factory.mktemp("images") / "set.npz"
    np.savez(images, images=random_images(24), labels=np.arange(24) % 10)

    @functools.cache
    def together(precision: Precision, open_batch_of_pixels: bool) -> dict[str, Bundle]:
        options = ExportOptions(
            targets=("onnxruntime",) if open_batch_of_pixels else TARGETS_OF[precision],
            precision=precision,
            dynamic=open_batch_of_pixels,
            dynamic_size=True,
            embed_preprocessing=open_batch_of_pixels,
            data=images,
            golden_images=4,
            tolerance=LOOSE,
            int8=Int8Options(images=12, use_cache=False),
            output=tmp_path_factory.mktemp("bundles"),
        )
        outcomes = export_bundles(checkpoint, options)
        return {outcome.bundle.manifest.target: outcome.bundle for outcome in outcomes}

    def make(target: str, precision: Precision = "fp32", open_batch_of_pixels: bool = False) -> Bundle:
        return together(precision, open_batch_of_pixels)[target]

    return make


@pytest.mark.parametrize(
    ("target", "precision"),
    [("onnxruntime", "fp32"), ("openvino", "fp32"), ("onnx", "fp16"), ("onnxruntime", "int8"), ("openvino", "int8")],
)
def test_an_engine_answers_like_pytorch_at_every_size(
    made: Made, reference: DMFormer, target: str, precision: Precision
) -> None:
    bundle = made(target, precision)
    manifest = bundle.manifest
    assert (manifest.input.shape, manifest.output.shape, manifest.open_size) == ((1, 3, None, None), (1, 10), True)
    assert manifest.usual_input == (1, 3, 32, 32)
    with open_engine(bundle) as engine:
        for height, width in SIZES:
            batch = np.random.default_rng(0).standard_normal((3, 3, height, width), dtype=np.float32)
            with torch.inference_mode():
                right = reference(torch.from_numpy(batch)).numpy()
            found = compare(right, engine.run_tensors(batch).outputs).sqnr_db
            assert found is None or found > DB[precision], (height, width)


def test_batch_and_size_may_both_be_open_also_of_pixels(made: Made) -> None:
    bundle = made("onnxruntime", open_batch_of_pixels=True)
    assert bundle.manifest.input.shape == (None, None, None, 3)
    with open_bundle(bundle) as session:
        for count, (height, width) in enumerate(SIZES, 1):
            assert session.run(np.zeros((count, height, width, 3), np.uint8))["logits"].shape == (count, 10)
        with pytest.raises(UsageError, match="32x48 is not divisible by 32"):
            session.run(np.zeros((1, 32, 48, 3), np.uint8))
    dims = onnx.load(str(bundle.file("engine"))).graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param for dim in dims] == ["batch", "height", "width", ""]


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_a_size_between_the_steps_is_refused_with_the_nearest(made: Made, target: str) -> None:
    with open_bundle(made(target)) as session:
        with pytest.raises(UsageError, match="40x32 is not divisible by 32") as caught:
            session.run(np.zeros((1, 3, 40, 32), np.float32))
        assert caught.value.hint == "use --imgsz 32 or --imgsz 64"
        with pytest.raises(UsageError, match="takes float32 1x3xNxN"):
            session.run(np.zeros((1, 1, 32, 32), np.float32))


def test_the_proof_has_another_size_and_ends_with_the_whole_set(made: Made) -> None:
    for target in ("onnxruntime", "tensorrt"):
        proof = made(target).manifest.proof
        assert proof is not None
        assert [comparison.data for comparison in proof.comparisons] == [
            "golden samples", "golden samples at 64x64", "set",
        ]  # fmt: skip
        assert all(comparison.agreement == 1 for comparison in proof.comparisons)


def test_a_bundle_of_open_size_is_verified_later(made: Made) -> None:
    assert dmformer.verify(made("onnxruntime").path).verified


def test_int8_is_calibrated_at_half_and_twice_the_usual_size(labelled: Path) -> None:
    from dmformer.data.open import open_dataset

    spec, dataset = Preprocessing(size=(64, 64)), open_dataset(labelled)
    images = read_set(dataset, spec, ((32, 32), (128, 128)))
    assert sorted(batch.shape for batch in images.batches()) == [(4, 3, 32, 32), (4, 3, 64, 64), (4, 3, 128, 128)]
    assert images.count == len(dataset)
    assert images.digest != read_set(dataset, spec).digest == dataset.digest()


def test_engines_of_nvidia_s_libraries_get_a_profile(made: Made) -> None:
    bundle = made("tensorrt", "fp16")
    plan = plan_in(bundle)
    assert (plan.min_size, plan.opt_size, plan.max_size) == ((32, 32), (32, 32), (64, 64))
    library = tensorrt_family("tensorrt").library
    words = trtexec_command(library, "10.3", plan, bundle.manifest.input, "model.onnx", "model.engine")
    assert [word for word in words if "Shapes" in word] == [
        "--minShapes=image:1x3x32x32", "--optShapes=image:1x3x32x32", "--maxShapes=image:1x3x64x64",
    ]  # fmt: skip
    both = make_plan(min_batch=1, opt_batch=2, max_batch=4, min_size=(32, 32), opt_size=(64, 64), max_size=(96, 128))
    assert both.profile((None, 3, None, None)) == ((1, 3, 32, 32), (2, 3, 64, 64), (4, 3, 96, 128))
    assert "size" not in BuildPlan().to_json(), "of one size nothing is said"


@pytest.mark.parametrize(
    "sizes",
    [
        {"min_size": (64, 64), "opt_size": (32, 32), "max_size": (96, 96)},
        {"min_size": (32, 32)},
        {"min_size": (32, 32), "opt_size": (48, 64), "max_size": (96, 96)},
    ],
)
def test_sizes_that_no_profile_can_have(sizes: dict[str, tuple[int, int]]) -> None:
    with pytest.raises(UsageError, match="the build cannot be done as asked"):
        make_plan(**sizes)


def test_sizes_without_open_ones_do_nothing() -> None:
    asked = ExportOptions(targets=("tensorrt",), build=dmformer.EngineOptions(max_size=(64, 64)))
    with pytest.raises(UsageError, match="do nothing without --dynamic-size"):
        check_options(asked)


def test_core_ml_names_its_sizes_instead() -> None:
    from dmformer.pipeline.coreml_export import CoreMlMaker

    with pytest.raises(UsageError, match="--dynamic-size is not for coreml") as caught:
        CoreMlMaker(TARGETS["coreml"]).check(ExportOptions(targets=("coreml",), dynamic_size=True))
    assert "--sizes" in (caught.value.hint or "")


def test_a_plan_is_searched_on_images_of_one_size(segmenter_weights: Path, masked: Path, tmp_path: Path) -> None:
    """PyTorch answers a picture of an open engine at a size of its own: such outputs are no batch."""
    options = ExportOptions(dynamic_size=True, data=masked, golden_images=2)
    sources = open_sources(segmenter_weights, None, masked, None)
    prepared = prepare(sources, options, tmp_path, Silent())
    reference = prepared.reference()
    assert reference is not None and reference.framing.one_by_one
    assert reference.read(0, 1).shape != (1, 5, 16, 16)
    images = search_images(prepared)
    assert images.outputs([0, 3]).shape == (2, 5, 16, 16)
    with torch.inference_mode():
        right = sources.checkpoint.build()(torch.from_numpy(images.tensors[3:4])).numpy()
    np.testing.assert_allclose(images.outputs([3]), right, atol=1e-5)


def test_ranges_of_open_sizes_are_of_no_fixed_one(weights: Path, labelled: Path, tmp_path: Path) -> None:
    int8 = Int8Options(calibration=labelled, use_cache=False)
    request = CalibrateOptions(tmp_path / "ranges.json", int8, dynamic_size=True, weights=WeightsOptions(path=weights))
    assert calibrate(request).images == 12
    options = ExportOptions(precision="int8", int8=Int8Options(ranges=tmp_path / "ranges.json"), data=labelled)
    sources = open_sources(weights, None, labelled, None)
    open_ones = prepare(sources, replace(options, dynamic_size=True), tmp_path, Silent())
    assert open_ones.calibration is not None and open_ones.calibration.ranges.count == 12
    with pytest.raises(DataError, match="another model, other weights or another input size"):
        prepare(sources, options, tmp_path, Silent())
