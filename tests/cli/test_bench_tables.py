"""The tables of ``dmformer bench`` on a narrow and on a usual terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from dmformer.cli import bench_tables
from dmformer.evaluation.latency.document import Document
from dmformer.evaluation.latency.names import short_names
from tests.documents import make_document, make_layers, make_result

LONG = "dmformer-tiny-fashion-mnist"
RATED: dict[str, Any] = {"reference": "pytorch", "speedup": 2.345, "speedup_ci": (2.3, 2.4), "model": LONG}


@pytest.fixture(scope="module")
def document() -> Document:
    slow = make_result(f"pytorch {LONG}", 3456.7, model=LONG)
    return make_document(slow, *(make_result(f"{LONG}-openvino-{kind}", 0.29, **RATED) for kind in ("fp32", "int8")))


def shown(table: object, width: int) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("make", [bench_tables.latency_table, bench_tables.speed_table, bench_tables.start_table])
def test_names_and_figures_are_whole(document: Document, make: Callable[[Document], object], width: int) -> None:
    said = shown(make(document), width)
    for name in ("pytorch ", "openvino-fp32 ", "openvino-int8 "):
        assert f" {name}" in said
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= width


def test_the_names_that_users_know(document: Document) -> None:
    said = " ".join(shown(make(document), 120) for make in (bench_tables.latency_table, bench_tables.speed_table))
    assert {"Latency,", "p50", "p90", "p95", "p99", "Throughput", "Speed-up", "2.35x", "openvino-int8"} <= set(
        said.split()
    )
    assert {"Compile", "First", "Engine"} <= set(shown(bench_tables.start_table(document), 120).split())


def test_parts_fit_too() -> None:
    said = shown(bench_tables.parts_table("engine", make_layers()), 80)
    assert "40 % of peak" in " ".join(said.split())
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0294, "0.029"),
        (0.29412, "0.294"),
        (1.2345, "1.23"),
        (24.09, "24.1"),
        (244.6, "245"),
        (3359.9, "3360"),
    ],
)
def test_three_digits_count(value: float | None, text: str) -> None:
    assert bench_tables.digits(value) == text


def test_names_of_several_models_stay_as_they_are() -> None:
    document = make_document(make_result("a-openvino", model="a"), make_result("b-openvino", model="b"))
    assert short_names(document.results) == {"a-openvino": "a-openvino", "b-openvino": "b-openvino"}
