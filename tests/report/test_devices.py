"""Measurements of several devices in one report: a column for each, and what holds where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dmformer.errors import DataError
from dmformer.evaluation.latency.devices import rows_of_devices
from dmformer.evaluation.latency.kept import read_document, read_documents
from dmformer.evaluation.power.records import PowerDraw
from dmformer.evaluation.report.material import Material
from dmformer.evaluation.report.page import page
from dmformer.evaluation.report.plain import markdown
from tests.documents import make_document, make_result

POWER = PowerDraw(sensor="INA, VDD_IN", rate_hz=20, readings=9, watts=(5, 6, 7), energy_mj=(8, 9, 10), idle_w=3)


def material() -> Material:
    first = make_document(make_result("fast"), make_result("slow")).model_copy(update={"device": "jetson"})
    second = make_document(make_result("fast").model_copy(update={"power": POWER}))
    return Material("title", (first, second.model_copy(update={"device": "pi", "warnings": ("it was hot",)})))


def test_each_device_has_a_column_and_what_none_has_is_left_out() -> None:
    rows = list(rows_of_devices(dict(zip(("jetson", "pi"), material().documents, strict=True))))
    cells = {(name, figure): cells for name, figure, cells in rows}
    assert cells["fast", "W"] == ["-", "6"] and cells["fast", "mJ a call"] == ["-", "9"]
    assert cells["slow", "p50 ms"][1] == "-" and ("slow", "W") not in cells


def test_the_page_says_what_holds_where() -> None:
    made = page(material())
    for said in ("Side by side", "Latency (jetson)", "Latency (pi)", "pi: fastest: fast", "pi: it was hot"):
        assert said in made
    assert "INA, VDD_IN, 20/s" in made and "idle is not subtracted" in made
    assert "| fast | W | - | 6 |" in markdown(material()) and "\njetson: " in markdown(material())


def test_two_of_one_device_and_one_of_none_are_told_apart() -> None:
    first = make_document(make_result("a"))
    both = first.model_copy(update={"device": "pi"})
    assert Material("t", (both, both, first)).machines() == ["pi, 1", "pi, 2", "3"]


def test_a_file_of_several_devices_is_read_and_checked(tmp_path: Path) -> None:
    one, path = json.loads(make_document(make_result("a")).to_json()), tmp_path / "bench.json"
    fleet = {"schema": "dmformer.fleet/1", "command": "bench", "documents": {"a": one, "b": one}}
    path.write_text(json.dumps(fleet))
    assert len(read_documents(path)) == 2
    with pytest.raises(DataError, match="holds measurements of 2 devices"):
        read_document(path)
    for broken in ({**fleet, "documents": {}}, {**fleet, "documents": {"a": {}}}, {**fleet, "documents": 3}):
        path.write_text(json.dumps(broken))
        with pytest.raises(DataError):
            read_documents(path)
