"""Packages of tiny networks: single ones made in this process, and whole bundles over the road."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dmformer.bundle import Bundle
from dmformer.graph.coreml.conversion import Recipe, convert
from dmformer.graph.coreml.package import write_package
from dmformer.model.canonical import canonicalize
from dmformer.model.checkpoint import Checkpoint
from dmformer.model.network import DMFormer
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.option_groups import CoreMlOptions
from dmformer.pipeline.options import ExportOptions, Int8Options
from dmformer.precision import Precision

Bundled = Callable[..., Path]
INSIDE = "model.mlpackage/Data/com.apple.CoreML"
SPECIFICATION, WEIGHTS = f"{INSIDE}/model.mlmodel", f"{INSIDE}/weights/weight.bin"


@pytest.fixture(scope="session")
def canonical(reference: DMFormer) -> DMFormer:
    return canonicalize(reference)


@pytest.fixture(scope="session")
def layers(canonical: DMFormer) -> tuple[str, ...]:
    """All layers but the gate's."""
    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    return tuple(name for name, module in canonical.named_modules() if isinstance(module, kinds) and "gate" not in name)


@pytest.fixture(scope="session")
def plain(canonical: DMFormer, checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float16 package with an image input. Not to be changed: copy it."""
    path = tmp_path_factory.mktemp("package") / "model.mlpackage"
    write_package(convert(canonical, Recipe(checkpoint.preprocessing)), path)
    return path


@pytest.fixture
def half(bundled: Bundled, tmp_path: Path) -> Bundle:
    """A float16 bundle, to be damaged."""
    shutil.copytree(bundled("fp16"), tmp_path / "bundle")
    return Bundle.load(tmp_path / "bundle")


@pytest.fixture(scope="session")
def bundled(weights: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundled:
    """Gives a Core ML bundle, made once in a session. Not to be changed: copy it."""

    @functools.cache
    def make(precision: Precision = "fp32", dynamic: bool = False, **coreml: Any) -> Path:
        options = ExportOptions(
            targets=("coreml",),
            precision=precision,
            dynamic=dynamic,
            golden_images=6,
            output=tmp_path_factory.mktemp("bundles"),
            # The golden samples must be like the images that are calibrated on.
            data=labelled if precision == "int8" else None,
            int8=Int8Options(calibration=labelled, images=12, use_cache=False),
            coreml=CoreMlOptions(**coreml),
        )
        outcome = export_bundles(weights, options)[0]
        assert outcome.proof.passed, outcome.proof.failures
        return outcome.bundle.path

    return make
