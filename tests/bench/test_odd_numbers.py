"""Measurements with extreme values in any place: refused in one line, or shown everywhere without a fault."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dmformer.cli import bench_tables
from dmformer.cli import compare as compare_command
from dmformer.errors import DataError, OutputError
from dmformer.evaluation.latency.comparison import compare_documents
from dmformer.evaluation.latency.document import Document
from dmformer.evaluation.latency.kept import read_document
from dmformer.evaluation.report.material import Material
from dmformer.evaluation.report.page import page
from dmformer.evaluation.report.plain import comma_separated, markdown
from dmformer.texts import MAX_TEXT, is_plain
from tests.documents import make_accuracy, make_document, make_layers, make_result

HOSTILE = "a\x1b]0;x\x07b\ud800\u202e\n[/red] $x^2$ \\"
EXTREMES: dict[str, Any] = {
    "none": None, "true": True, "minus one": -1, "zero": 0, "one": 1, "tiny": 5e-324, "small": 1e-9, "2^62": 2**62,
    "2^63": 2**63, "10^400": 10**400, "1e12": 1e12, "1e15": 1e15, "1e308": 1e308, "minus 1e308": -1e308,
    "nan": float("nan"), "inf": float("inf"), "empty": "", "hostile": HOSTILE, "endless": "x" * 100_000,
    "list": [], "object": {}, "hostile key": {HOSTILE: 0.5}, "pair": [1, 1], "same": [[1.0] * 4],
}  # fmt: skip
Place = tuple[str | int, ...]


def original() -> dict[str, Any]:
    """A measurement with something in every field; the arrays of a histogram are short."""
    rated = {"reference": "pytorch", "speedup": 3.0, "speedup_ci": (2.9, 3.1), "late_frames": 0.1}
    engine = make_result("engine", 10.0, 1, **rated, accuracy=make_accuracy(top5=99.0), layers=make_layers())
    document: dict[str, Any] = json.loads(make_document(make_result("pytorch", 30.0, kind="pytorch"), engine).to_json())
    for found in document["results"]:
        found["histogram"] = {"edges_ms": [1.0, 2.0, 40.0], "counts": [3, 4]}
        found["slices_ms"] = [launch[:4] for launch in found["slices_ms"][:3]]
        found["notes"] = ["a note"]
    document["environment"].update(frequency_mhz=[800, 3000], memory_bytes=1 << 33, jetson={"power": "15W"})
    document["environment"].update(cpu_limit=2.0, memory_limit_bytes=1 << 32, packages={"numpy": "2"})
    document["peaks"][0]["copies"] = [[65536, 90.0]]
    document["settings"]["fps"] = 30.0
    return document | {"warnings": ["engine: unsteady"], "notes": ["busy"]}


def places(node: Any, behind: Place = ()) -> Iterator[Place]:
    """Every place of a document, of long lists the first three and the last."""
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in dict.fromkeys([*keys[:3], *keys[-1:]]) if isinstance(node, list) else keys:
        yield (*behind, key)
        yield from places(node[key], (*behind, key))


def changed(document: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    """A copy with one value replaced, where it is not there any more as it was."""
    copied = copy.deepcopy(document)
    node: Any = copied
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return copied


def loads(path: Path, content: dict[str, Any]) -> Document | None:
    """The measurement, or None where it is refused in one safe line."""
    path.write_text(json.dumps(content))
    try:
        return read_document(path)
    except DataError as error:
        assert is_plain(error.message)
        assert len(error.message) < 700
        return None


def shown(document: Document) -> str:
    """Everything that is made of a measurement; gives the page, which is empty where it would be too large."""
    material = Material("odd", (document,))
    bench_tables.show(document)
    compare_command.show(compare_documents(document, document, 0.05, 0.1))
    made = [document.to_json(), markdown(material), comma_separated(material)]
    drawn = ""
    try:
        drawn = page(material)
    except OutputError as error:
        assert "larger than" in error.message
    made.append(drawn)
    for text in made:
        assert all(map(is_plain, text.split("\n")))
        assert "nan" not in text.lower().replace("governance", "")
    assert max(len(line) for line in made[1].splitlines()) < 40 * MAX_TEXT
    return drawn


@pytest.mark.parametrize("value", EXTREMES.values(), ids=EXTREMES)
def test_a_value_is_refused_or_shown(tmp_path: Path, value: Any) -> None:
    """Each place alone is read; the places that may hold the value are shown with it all at once."""
    document = original()
    path = tmp_path / "bench.json"
    merged = copy.deepcopy(document)
    for place in places(document):
        if loads(path, changed(document, place, value)) is None:
            continue
        try:
            together = changed(merged, place, value)
        except (KeyError, IndexError, TypeError):
            continue  # what it is in was replaced
        merged = together if loads(path, together) is not None else merged
    found = loads(path, merged)
    assert found is not None
    shown(found)


PART: Place = ("results", 1, "layers", "parts", 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("part", "of another version"), ("precision", {}), ("macs", 0), ("macs", None), ("moved_bytes", 0),
     ("moved_bytes", None), ("gmacs_per_s", 0), ("gmacs_per_s", 5e-324), ("share", 0), ("bound", None)],
)  # fmt: skip
def test_a_part_that_has_no_place_in_a_roofline_is_shown_in_the_tables(tmp_path: Path, name: str, value: Any) -> None:
    document = loads(tmp_path / "bench.json", changed(original(), (*PART, name), value))
    assert document is not None
    part = document.results[1].layers
    assert part is not None
    assert part.parts[1].part in shown(document)


@pytest.mark.parametrize(
    ("place", "value"),
    [(("results", 0, "accuracy", "figures", "top1", "engine"), 1e308), (("results", 0, "engine_bytes"), 10**400),
     (("results", 0, "throughput_ips"), 1e308), (("environment", "memory_bytes"), -1),
     (("results", 0, "histogram", "counts"), [10**400, 1]), (("results", 0, "batch"), 2**63)],
)  # fmt: skip
def test_a_number_that_no_measurement_has_is_refused(tmp_path: Path, place: Place, value: Any) -> None:
    document = changed(original(), ("results", 0, "accuracy"), original()["results"][1]["accuracy"])
    assert loads(tmp_path / "bench.json", changed(document, place, value)) is None


def test_a_command_with_names_that_are_no_utf_8_can_be_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    document = make_document(command="dmformer bench " + "name-\udcff\n " * 200)
    path.write_bytes(document.to_json().encode())
    assert read_document(path) == document
    assert document.command.endswith("name-\ufffd\ufffd ")
