"""The embedded checkpoint: its accuracy on all 10,000 test images, through an engine that a user would run."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmformer import assets
from dmformer.bundle import Bundle
from dmformer.data.open import open_dataset
from dmformer.evaluation.verify import verify
from dmformer.manifest import Comparison
from dmformer.model.checkpoint import load_checkpoint
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.sources import demonstration_of
from dmformer.pipeline.verification import Evidence, verify_bundle
from dmformer.progress import Silent
from dmformer.runtimes.base import SessionOptions


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    options = ExportOptions(output=tmp_path_factory.mktemp("embedded"), dynamic=True, max_images=200, golden_images=4)
    outcome = export_bundles(None, options)[0]
    assert outcome.proof.passed, outcome.proof.failures
    return outcome.bundle


@pytest.fixture(scope="module")
def measured(bundle: Bundle) -> Comparison:
    proof = verify(bundle, dataset=open_dataset(assets.test_images()), options=SessionOptions(threads=1))
    return proof.comparisons[1]


def test_it_is_small_and_of_ten_named_classes() -> None:
    checkpoint = load_checkpoint(assets.checkpoint())
    assert assets.checkpoint().stat().st_size <= 10_000_000
    assert sum(tensor.numel() for tensor in checkpoint.state.values()) <= 2_500_000
    assert checkpoint.labels is not None
    assert len(checkpoint.labels) == checkpoint.config.classes == 10


def test_it_has_learned_what_it_was_trained_for(measured: Comparison) -> None:
    assert measured.images == 10_000
    assert measured.figures["top1"].engine >= 85


def test_its_top1_is_at_least_91_percent(measured: Comparison) -> None:
    assert measured.figures["top1"].engine >= 91


def test_verifying_it_again_takes_the_embedded_images_and_weights(bundle: Bundle) -> None:
    assert demonstration_of(bundle.manifest.source.sha256)
    proof = verify_bundle(bundle, Evidence(max_images=40), Silent())
    assert proof.passed, proof.failures
    assert [comparison.images for comparison in proof.comparisons] == [4, 40]
    assert proof.comparisons[1].agreement == 1.0


def test_calibration_images_are_none_of_the_test_images() -> None:
    calibration, test = open_dataset(assets.calibration_images()), open_dataset(assets.test_images())
    assert len(calibration) == 512
    assert len(test) == 10_000
    assert not set(calibration.content_hashes()) & set(test.content_hashes())


def test_its_files_are_where_the_package_says() -> None:
    paths: list[Path] = [assets.checkpoint(), assets.test_images(), assets.calibration_images()]
    assert all(path.is_file() for path in paths)
