"""``--embed-preprocessing``: engines that take pixels answer like those that take tensors, everywhere in dmformer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmformer import Classifier, assets
from dmformer.bundle import Bundle
from dmformer.data.open import open_dataset
from dmformer.engine_input import from_images, from_tensors
from dmformer.errors import BundleError, UsageError
from dmformer.evaluation.latency.bench import bench
from dmformer.evaluation.latency.candidates import family_of
from dmformer.evaluation.latency.settings import BenchSettings
from dmformer.evaluation.layers.profile import profile
from dmformer.evaluation.verify import verify
from dmformer.manifest import Comparison
from dmformer.pipeline import trial
from dmformer.pipeline.export import check_options, export_bundles, place
from dmformer.pipeline.layer_errors import errors_of
from dmformer.pipeline.measurement import choose_candidates
from dmformer.pipeline.options import ExportOptions, Int8Options
from dmformer.preprocessing import preprocess_batch
from dmformer.progress import Silent
from dmformer.runtimes.base import SessionOptions
from dmformer.runtimes.registry import open_bundle
from tests.embedding.documents import run_page
from tests.support import LOOSE, ROOT, TARGETS, compare, edit_manifest, engine_of, invoke, one_line, random_images

Exported = Callable[..., Path]
CPU = ("onnxruntime", "openvino")


def logits_of(bundle: Bundle, images: list[np.ndarray]) -> np.ndarray:
    with open_bundle(bundle, SessionOptions(threads=1)) as session:
        return engine_of(bundle, session).run(from_images(bundle.manifest, images)).outputs


def both(weights: Path | None, options: ExportOptions, images: list[np.ndarray]) -> list[Comparison]:
    """Each target's engine that takes pixels, compared with the one that takes tensors."""
    outside = export_bundles(weights, options)
    inside = export_bundles(weights, replace(options, embed_preprocessing=True))
    assert all(outcome.proof.passed for outcome in inside), [outcome.proof.failures for outcome in inside]
    return [
        compare(logits_of(tensors.bundle, images), logits_of(pixels.bundle, images))
        for tensors, pixels in zip(outside, inside, strict=True)
    ]


def test_pixels_give_the_classes_of_tensors_on_real_images(tmp_path: Path) -> None:
    options = ExportOptions(targets=CPU, dynamic=True, max_images=40, golden_images=4, output=tmp_path)
    dataset = open_dataset(assets.test_images())
    for found in both(None, options, [dataset.load(index * 7).image for index in range(300)]):
        assert found.agreement == 1.0
        assert found.sqnr_db is None or found.sqnr_db > 100


def test_int8_engines_take_pixels_too(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "ROUNDS", 1)
    np.savez(tmp_path / "images.npz", images=random_images(16, seed=5))
    int8 = Int8Options(calibration=tmp_path / "images.npz", images=16, cache=tmp_path / "ranges")
    options = ExportOptions(targets=CPU, precision="int8", golden_images=4, tolerance=LOOSE, output=tmp_path, int8=int8)
    for found in both(weights, options, list(random_images(8))):
        assert found.agreement == 1.0
        # A pixel's last bit may fall to the other side of a quantization step.
        assert found.sqnr_db is None or found.sqnr_db > 30


@pytest.mark.parametrize("target", TARGETS)
def test_the_manifest_says_it_and_every_part_of_the_device_side_runs_it(exported: Exported, target: str) -> None:
    pixels, tensors = (Bundle.load(exported(target, pixels=pixels)) for pixels in (True, False))
    assert pixels.path.name.endswith("-fp32-pixels")
    assert pixels.manifest.input.model_dump() == {
        "name": "image", "shape": (1, 32, 32, 3), "dtype": "uint8", "layout": "NHWC",
    }  # fmt: skip
    assert tensors.manifest.input.layout == "NCHW"
    assert not pixels.manifest.precision.groups
    proof = verify(pixels)
    assert proof.passed, proof.failures
    golden = pixels.golden()
    assert np.array_equal(
        from_tensors(pixels.manifest, golden.tensors), from_images(pixels.manifest, list(golden.images))
    )
    assert np.array_equal(golden.tensors, preprocess_batch(list(golden.images), pixels.manifest.preprocessing))


@pytest.mark.parametrize("batch", [1, 4])
def test_the_classifier_gives_the_same_classes(exported: Exported, batch: int) -> None:
    images = [random_images(1, side, seed=side)[0] for side in (20, 32, 50, 51, 52)]
    found = []
    for pixels in (False, True):
        with Classifier(exported("onnxruntime", batch=batch, pixels=pixels)) as classifier:
            found.append(classifier.predict(images, top_k=3))
    for outside, inside in zip(*found, strict=True):
        assert [guess.index for guess in outside] == [guess.index for guess in inside]
        np.testing.assert_allclose(
            [guess.probability for guess in inside], [guess.probability for guess in outside], atol=1e-5
        )


def test_what_the_engine_does_not_take_is_one_error(exported: Exported) -> None:
    bundle = Bundle.load(exported("onnxruntime", pixels=True))
    with open_bundle(bundle) as session:
        with pytest.raises(UsageError, match="takes uint8 1x32x32x3, not float32 1x3x32x32") as caught:
            session.run(bundle.golden().tensors[:1])
        assert "fit_batch" in str(caught.value.hint)
        session.run(np.zeros((1, 32, 32, 3), np.uint8))


def test_it_is_measured_beside_tensors_and_pytorch(exported: Exported) -> None:
    bundles = [Bundle.load(exported("onnxruntime", pixels=pixels)) for pixels in (False, True)]
    assert family_of(bundles[0]) == family_of(bundles[1]), "they compute the same"
    candidates = choose_candidates(bundles, "pytorch", None, [], Silent())
    settings = BenchSettings(duration_s=0.05, launches=1, warmup_s=0, threads=1, boundary="preprocess")
    document = bench(candidates, {str(bundle.path): bundle for bundle in bundles}, settings, layers=False)
    assert [result.kind for result in document.results] == ["pytorch", "bundle", "bundle"]
    for target in CPU:
        parts = profile(Bundle.load(exported(target, pixels=True)), 1, settings)["parts"]
        assert parts[0]["part"] == "preprocessing"


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_its_layers_are_compared_with_pytorch_s(exported: Exported, weights: Path, target: str) -> None:
    found = errors_of(Bundle.load(exported(target, pixels=True)), weights, None)
    assert {layer.node for layer in found.layers} >= {"stem.conv3", "stages.0.0.dma.relu", "head"}
    assert min(layer.sqnr_db for layer in found.layers if layer.sqnr_db is not None) > 80


def test_the_commands_take_it(exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = exported("openvino", pixels=True)
    Image.fromarray(random_images(1)[0]).save(tmp_path / "photo.png")
    answers = [
        json.loads(invoke(capsys, "predict", path, tmp_path / "photo.png", "--json")[1])["images"][0]["classes"]
        for path in (bundle, exported("openvino"))
    ]
    assert answers[0][0]["label"] == answers[1][0]["label"]
    assert invoke(capsys, "verify", bundle)[0] == 0
    assert "uint8" in "".join(invoke(capsys, "inspect", bundle)[1:])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-t", "tensorrt"), "not supported for tensorrt"),
        (("-t", "onnxruntime", "-t", "tensorrt-rtx", "--half"), "not supported for tensorrt-rtx"),
        (("-t", "coreml", "--tensor-input"), "one picture at a time"),
        (("-t", "coreml", "--batch", "2"), "one picture at a time"),
    ],
)
def test_targets_that_cannot_are_refused_in_one_line(
    options: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "coreml" in options:
        pytest.importorskip("coremltools", reason="coremltools is not installed")
    code, _, err = invoke(capsys, "export", "--embed-preprocessing", *options, "-o", tmp_path / "out")
    assert code == 2
    assert words in one_line(err)
    assert not (tmp_path / "out").exists()


def test_core_ml_s_image_input_is_this_already(tmp_path: Path) -> None:
    pytest.importorskip("coremltools", reason="coremltools is not installed")
    options = ExportOptions(targets=("coreml",), embed_preprocessing=True, precision="fp16", output=tmp_path)
    check_options(options)
    assert place("mini", "coreml", options) == tmp_path / "mini-coreml-fp16"


@pytest.mark.parametrize("change", [{"dtype": "uint8"}, {"layout": "NHWC"}, {"shape": [1, 32, 32, 3]}])
def test_an_input_that_contradicts_itself_is_no_manifest(copied: Path, change: dict[str, object]) -> None:
    edit_manifest(copied, lambda manifest: manifest["input"].update(change))
    with pytest.raises(BundleError, match="the input"):
        Bundle.load(copied)


@pytest.mark.page
def test_every_command_of_the_page_works(tmp_path: Path) -> None:
    done = run_page(ROOT / "docs" / "embed-preprocessing.md", tmp_path)
    assert done.returncode == 0, done.stdout
    assert "self-test passed" in done.stdout
