"""The document on disk: its schema, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dmformer.errors import DataError
from dmformer.evaluation.latency.document import Document
from dmformer.evaluation.latency.kept import read_document
from tests.documents import make_accuracy, make_document, make_layers, make_result
from tests.support import ROOT


def test_the_published_schema_is_the_codes() -> None:
    assert json.loads((ROOT / "docs" / "bench.schema.json").read_text()) == Document.model_json_schema()


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    document = make_document(make_result(accuracy=make_accuracy(), layers=make_layers()), make_result("other", 12))
    path = tmp_path / "bench.json"
    path.write_text(document.to_json())
    assert read_document(path) == document


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema="dmformer.bench/9"), "this version reads"),
        (lambda d: d.update(schema=["x" * 500]), "this version reads"),
        (lambda d: d.update(more=1), "more"),
        (lambda d: d["results"][0].update(p50_ms="fast"), r"results\.0\.p50_ms"),
        (lambda d: d["results"][0].update(p50_ms=float("nan")), r"results\.0\.p50_ms"),
        (lambda d: d["results"].clear(), "results"),
        (lambda d: d["results"][0]["histogram"]["counts"].append(1), "edges"),
        (lambda d: d["results"][0].update(slices_ms=[[1.0]]), "slices_ms"),
        (lambda d: d["results"][0].update(slices_ms=[[1.0, 0.0]]), "slices_ms"),
        (lambda d: d["results"][0].update(input=[1]), "input"),
        (lambda d: d["peaks"][0]["gmacs_per_s"].update(float32=-1), "gmacs_per_s"),
    ],
)
def test_damaged_documents_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    content = json.loads(make_document().to_json())
    change(content)
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message) as caught:
        read_document(path)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"[" * 100_000, b"{}"])
def test_what_is_no_document_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bench.json"
    path.write_bytes(content)
    with pytest.raises(DataError):
        read_document(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_document(tmp_path / "nothing.json")
