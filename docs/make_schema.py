"""Writes the JSON Schemas of what dmformer reads and writes: a bundle's manifest, and a measurement.

Run it after a change to ``dmformer/manifest.py`` or ``dmformer/evaluation/latency/document.py``; tests keep them equal.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel

from dmformer.evaluation.latency.document import Document
from dmformer.manifest import Manifest

HERE = Path(__file__).parent
SCHEMA_FILE = HERE / "manifest.schema.json"
BENCH_SCHEMA_FILE = HERE / "bench.schema.json"


def schema_text(model: type[BaseModel] = Manifest) -> str:
    """The file's text: sorted, indented, ending in a newline."""
    return json.dumps(model.model_json_schema(by_alias=True), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
    BENCH_SCHEMA_FILE.write_text(schema_text(Document), encoding="utf-8")
