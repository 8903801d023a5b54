"""What a report says first: what to ship and why, and nothing that the measurement does not hold."""

from __future__ import annotations

import re
from typing import Any

from dmformer.evaluation.latency.document import Document, Result
from dmformer.evaluation.report.charts import pareto_chart, qualities
from dmformer.evaluation.report.headline import cards, collapsed, headline, models, recommendation
from dmformer.evaluation.report.material import Material
from tests.documents import make_accuracy, make_document, make_result


def engine(name: str, ms: float, seed: int, **changes: Any) -> Result:
    rated = {"reference": "pytorch", "speedup": 30 / ms, "speedup_ci": (29 / ms, 31 / ms)}
    return make_result(name, ms, seed, **(rated | {"accuracy": make_accuracy()} | changes))


def document(*results: Result, **changes: Any) -> Document:
    return make_document(make_result("pytorch", 30, kind="pytorch", target="pytorch"), *results, **changes)


def test_the_fastest_verified_engine_is_recommended_with_margin_and_interval() -> None:
    below = engine("broken", 1.0, 3, accuracy=make_accuracy(verified=False))
    said = recommendation(document(engine("slow", 10.0, 1), engine("fast", 5.0, 2), below))
    assert said.startswith("Ship fast: the fastest that is verified within its tolerance, ")
    ratio, low, high = map(float, re.findall(r"\d+\.\d+", said)[:3])
    assert low < ratio < high
    assert 1.9 < low < 2 < high < 2.1
    assert "top-1 92.50 % (PyTorch 92.60) on 1000 images of test set" in said


def test_engines_that_cannot_be_told_apart_are_both_named() -> None:
    said = recommendation(document(engine("one", 10.0, 1), engine("other", 10.0, 2)))
    assert "cannot be told apart" in said


def test_where_nothing_is_verified_or_the_measurement_is_doubtful_nothing_is_recommended() -> None:
    below = engine("broken", 1.0, 3, accuracy=make_accuracy(verified=False))
    assert "of 1 measured none is verified" in recommendation(document(below))
    doubted = document(engine("fast", 5.0, 2), warnings=("fast: unsteady, its slices vary by 9% (limit 2.5%)",))
    assert recommendation(doubted).startswith("No recommendation yet: fast was the fastest")
    assert recommendation(make_document(make_result("pytorch", kind="pytorch"))) == ""


def test_a_doubtful_ratio_is_no_headline_and_doubts_are_one_list() -> None:
    lines = (
        "other processes took 9% of the cores (load average 1.0)",
        "fast: unsteady, its slices vary by 9.0% (limit 2.5%); not stable at the end of its warm-up",
        "slow: unsteady, its slices vary by 7.0% (limit 2.5%)",
    )
    results = (engine("fast", 5.0, 2), engine("slow", 10.0, 1))
    doubted, sure = document(*results, warnings=lines), document(*results)
    shown = "".join(cards(Material("t", (doubted,))))
    assert "6.00×" not in shown
    assert "doubtful" in shown
    assert "about 5" in shown
    assert "6.00×" in "".join(cards(Material("t", (sure,))))
    assert collapsed(doubted) == [lines[0], "unsteady: fast, slow", "not stable at the end of its warm-up: fast"]
    assert headline(Material("t", (doubted, doubted))).count('class="warnings"') == 1


def test_the_model_is_told_by_its_size_input_and_classes() -> None:
    result = engine("fast", 5.0, 2, parameters=2_294_138, macs=10_400_000, classes=10)
    assert models(make_document(result)) == [
        "mini: 2,294,138 parameters, 10.4 million multiply-accumulates, input 3x32x32, 10 classes"
    ]


def test_no_line_joins_candidates_of_different_sets() -> None:
    same = [engine("a", 5.0, 1, accuracy=make_accuracy(90.0)), engine("b", 9.0, 2, accuracy=make_accuracy(95.0))]
    apart = [same[0], engine("b", 9.0, 2, accuracy=make_accuracy(95.0, data="another set"))]
    steps = [len(re.findall(r"stroke-opacity: 0\.6", pareto_chart("p", results))) for results in (same, apart)]
    # A step of one point has no length, and is drawn for each set.
    assert steps == [1, 2]
    assert all("L" not in line for line in lines_of(pareto_chart("p", apart)))
    assert any("L" in line for line in lines_of(pareto_chart("p", same)))


def lines_of(chart: str) -> list[str]:
    return re.findall(r'<path d="([^"]*)"[^>]*stroke-opacity: 0\.6', chart)


def test_one_axis_holds_one_figure() -> None:
    plain = engine("b", 9.0, 2, accuracy=make_accuracy(figures={}))
    unit, points = qualities([engine("a", 5.0, 1), plain])
    assert unit == "agreement, %"
    assert [value for _, value in points] == [99.5, 99.5]
