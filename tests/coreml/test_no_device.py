"""Off a Mac a package is run by an evaluator: its times are shown as such, and compared with nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dmformer.evaluation.latency.comparison import compare_documents
from dmformer.evaluation.report.charts import qualities
from dmformer.evaluation.report.headline import cards
from dmformer.evaluation.report.material import Material
from dmformer.evaluation.report.page import page
from dmformer.evaluation.report.plain import markdown
from tests.conftest import Exported
from tests.coreml.conftest import Bundled
from tests.documents import make_accuracy, make_document, make_result
from tests.support import invoke

BRIEF = ("--duration", "0.05", "--launches", "1", "--warmup", "0", "--threads", "1", "--no-layers")


def test_bench_rates_devices_only(
    bundled: Bundled, exported: Exported, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    written = tmp_path / "bench.json"
    package, engine = bundled("fp16"), exported("onnxruntime")
    code, _, err = invoke(capsys, "bench", package, engine, *BRIEF, "--against", "none", "-o", written)
    assert code == 0, err
    said = " ".join(err.split())
    assert "evaluator, not a device: no latency of the target" in said
    by_target = {result["target"]: result for result in json.loads(written.read_text())["results"]}
    evaluated, device = by_target["coreml"], by_target["onnxruntime"]
    assert evaluated["provider"] == "evaluator"
    for result in (evaluated, device):
        # The package comes first and is no reference all the same.
        assert (result["reference"], result["speedup"]) == (None, None)
    assert err.count("reference ") == 1, "the table of speed-ups"


def test_a_slower_evaluator_is_no_slower_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = make_document(make_result(provider="evaluator", accuracy=make_accuracy()))
    after = make_document(make_result(provider="evaluator", ms=100.0, accuracy=make_accuracy()))
    (change,) = compare_documents(before, after, 0.05, 0.1).changes
    assert (change.verdict, change.ratio, change.before_ms, change.failed) == ("same", None, None, False)
    worse = make_document(make_result(provider="evaluator", accuracy=make_accuracy(top1=80.0)))
    (change,) = compare_documents(before, worse, 0.05, 0.1).changes
    assert (change.verdict, change.failed) == ("less accurate", True)
    for name, document in (("a", before), ("b", after)):
        (tmp_path / f"{name}.json").write_text(document.to_json())
    code, _, err = invoke(capsys, "compare", tmp_path / "a.json", tmp_path / "b.json")
    assert code == 0
    assert "not a device" in " ".join(err.split())


def test_the_report_calls_no_evaluator_the_fastest() -> None:
    quick = make_result("quick", ms=1.0, provider="evaluator", accuracy=make_accuracy())
    material = Material("a report", (make_document(quick, make_result("engine", ms=10.0)),))
    shown = "".join(cards(material))
    assert "fastest: engine" in shown
    assert "quick" not in shown
    assert "| not a device |" in markdown(material)
    assert qualities([quick])[1] == [], "it is no point among the latencies"
    alone = page(Material("a report", (make_document(quick),)))
    assert "How long a call takes" not in alone
    assert "not a device" in alone
