"""Packages that take several sizes: Core ML's enumerated shapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dmformer.bundle import Bundle
from dmformer.errors import EngineError, UsageError
from dmformer.evaluation.verify import verify
from dmformer.graph.coreml.plan import make_plan, sizes_of
from dmformer.model.checkpoint import Checkpoint
from dmformer.pipeline.option_groups import parse_sizes
from dmformer.preprocessing import preprocess
from dmformer.runtimes.base import SessionOptions
from dmformer.runtimes.coreml.session import package_of
from dmformer.runtimes.mlprogram.package import read_package
from dmformer.runtimes.registry import get_runtime, open_bundle
from tests.coreml.conftest import Bundled
from tests.support import random_images

OTHERS = ((64, 64), (32, 96))


@pytest.fixture(scope="module", params=["image", "tensor_input", "dynamic"])
def several(request: pytest.FixtureRequest, bundled: Bundled) -> Bundle:
    options = {} if request.param == "image" else {request.param: True}
    return Bundle.load(bundled("fp32", sizes=OTHERS, **options))


def test_every_size_is_pytorch_s(several: Bundle, checkpoint: Checkpoint) -> None:
    reference = checkpoint.build()
    assert sizes_of(several.manifest) == ((32, 32), *OTHERS)
    assert several.manifest.runtime.options["sizes"] == "32x32,64x64,32x96"
    with open_bundle(several) as session:
        for size in ((32, 32), *OTHERS):
            tensor = preprocess(random_images(1)[0], checkpoint.preprocessing.resized_to(size))[None]
            with torch.inference_mode():
                expected = reference(torch.from_numpy(tensor)).numpy()
            found = np.asarray(session.run(tensor)["logits"], np.float32)
            np.testing.assert_allclose(found, expected, atol=1e-4)
        with pytest.raises(UsageError, match="32x32, not"):
            session.run(np.zeros((1, 3, 96, 96), np.float32))


def test_the_package_lists_them(several: Bundle) -> None:
    package = read_package(package_of(several))
    (feature,) = package.model.inputs
    assert {shape[-2:] for shape in feature.shapes} == {(32, 32), *OTHERS}
    assert package.model.metadata["dmformer.sizes"] == "32x32,64x64,32x96"


def test_the_proof_names_each_size(several: Bundle) -> None:
    proof = several.manifest.proof
    assert proof is not None
    named = [comparison.data for comparison in proof.comparisons]
    assert named == [f"golden samples, pictures of another kind{size}" for size in (" at 64x64", " at 32x96", "")]
    assert verify(several).passed


@pytest.mark.parametrize("listed", ["32x32,64x64", "32x32,64x64,32x128", "32", "x", "32x32,,64x64"])
def test_a_manifest_that_lists_others_is_another_network_s(several: Bundle, listed: str) -> None:
    runtime = several.manifest.runtime
    changed = runtime.model_copy(update={"options": {**runtime.options, "sizes": listed}})
    other = replace(several, manifest=several.manifest.model_copy(update={"runtime": changed}))
    with pytest.raises(EngineError, match=r"another network|are no list"):
        get_runtime("coreml").open(other, SessionOptions())


def test_a_classifier_takes_several_sizes(bundled: Bundled) -> None:
    bundle = Bundle.load(bundled("fp16", sizes=OTHERS, classifier=True))
    assert bundle.manifest.proof is not None
    assert bundle.manifest.proof.passed


def test_how_sizes_are_given() -> None:
    assert parse_sizes("64") == ((64, 64),)
    assert parse_sizes("64,32x96") == OTHERS
    for text in ("", "64x", "64,,32", "a", "1x2x3", "-64", "64 32", "6400000"):
        with pytest.raises(UsageError, match="no list of sizes"):
            parse_sizes(text)


@pytest.mark.parametrize(
    ("sizes", "message"), [(((48, 32),), "multiple of 32"), (((0, 32),), "greater"), (OTHERS * 64, "128 that Core ML")]
)
def test_sizes_that_cannot_be(sizes: tuple[tuple[int, int], ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_plan(sizes=sizes)
