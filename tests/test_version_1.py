"""Documents of schema 1, written before tasks were told apart: they verify, compare and report as they did."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dmformer.bundle import Bundle
from dmformer.errors import BundleError
from dmformer.evaluation.latency.kept import read_document
from dmformer.evaluation.verify import verify
from dmformer.manifest import FIRST_SCHEMA, SCHEMA
from tests.support import ROOT, invoke

FIXTURES = ROOT / "tests" / "fixtures" / "version-1"
BUNDLES = sorted(path for path in FIXTURES.iterdir() if path.is_dir())


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.name)
def test_a_bundle_verifies_with_the_figures_that_it_had(path: Path) -> None:
    bundle = Bundle.load(path)
    assert (bundle.manifest.schema_, bundle.manifest.task.name) == (FIRST_SCHEMA, "classification")
    assert bundle.manifest.proof is not None
    told = json.loads((path / "manifest.json").read_text())["proof"]
    for comparison, record in zip(bundle.manifest.proof.comparisons, told["comparisons"], strict=True):
        for key in ("top1", "top5"):
            score = comparison.figures[key]
            assert (score.engine, score.reference) == (record[key], record[f"reference_{key}"])
    assert bundle.manifest.proof.tolerance.max_drop == told["tolerance"]["max_top1_drop"]
    assert verify(bundle).passed


def test_a_bundle_is_written_as_today_s_when_it_gets_another_proof(tmp_path: Path) -> None:
    shutil.copytree(BUNDLES[0], tmp_path / "bundle")
    bundle = Bundle.load(tmp_path / "bundle")
    bundle.with_proof(verify(bundle))
    again = Bundle.load(tmp_path / "bundle")
    assert again.manifest.schema_ == SCHEMA
    assert again.manifest.source == bundle.manifest.source


def test_a_changed_manifest_is_still_noticed(tmp_path: Path) -> None:
    shutil.copytree(BUNDLES[0], tmp_path / "bundle")
    path = tmp_path / "bundle" / "manifest.json"
    path.write_text(path.read_text().replace('"gate_reduction": 2', '"gate_reduction": 3'))
    with pytest.raises(BundleError, match="differs from what was exported"):
        Bundle.load(tmp_path / "bundle")


def test_a_measurement_is_compared_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = FIXTURES / "bench.json"
    told = json.loads(source.read_text())
    accuracies = [result.accuracy for result in read_document(source).results]
    for accuracy, result in zip(accuracies, told["results"], strict=True):
        assert accuracy is not None
        assert {key: score.engine for key, score in accuracy.figures.items()} == {
            key: result["accuracy"][key] for key in ("top1", "top5") if result["accuracy"][key] is not None
        }
    code, _, err = invoke(capsys, "compare", source, source)
    assert code == 0, err
    code, _, err = invoke(capsys, "report", tmp_path / "page.html", source, *BUNDLES)
    assert code == 0, err
    assert "top-1 %" in (tmp_path / "page.html").read_text() or told["results"][0]["accuracy"]["top1"] is None
