"""Every command of docs/coreml.md runs, and what the page says of a package is so."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from dmformer.bundle import Bundle
from dmformer.graph.coreml.plan import INT8, sizes_of
from tests.embedding.documents import blocks_of, run_page
from tests.support import ROOT, random_images

PAGE = ROOT / "docs" / "coreml.md"


@pytest.mark.page
def test_every_command_runs(weights: Path, labelled: Path, tmp_path: Path) -> None:
    shutil.copy(weights, tmp_path / "best.safetensors")
    shutil.copy(labelled, tmp_path / "val.npz")
    np.savez(tmp_path / "train.npz", images=random_images(32))
    assert [block.skipped for block in blocks_of(PAGE)] == ["installs", None, None]
    done = run_page(PAGE, tmp_path, COLUMNS="200")
    assert done.returncode == 0, done.stdout
    said = " ".join(done.stdout.split())
    assert "evaluator, not a device" in said
    assert "nothing was measured" in said
    bundles = {path.name.rpartition("-")[2]: Bundle.load(path) for path in (tmp_path / "engines").iterdir()}
    assert bundles.keys() == {"fp32", "fp16", *INT8}
    for bundle in bundles.values():
        assert bundle.manifest.proof is not None
        assert bundle.manifest.proof.passed
    (labelled,) = (tmp_path / "labelled").iterdir()
    assert sizes_of(Bundle.load(labelled).manifest) == ((32, 32), (64, 64), (64, 96))
