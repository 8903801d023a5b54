"""Writes ``docs/manifest.schema.json``: the JSON Schema of a bundle's manifest.

Run it after a change to ``dmformer/manifest.py``; a test keeps the two equal.
"""

from __future__ import annotations

import json
from pathlib import Path

from dmformer.manifest import Manifest

SCHEMA_FILE = Path(__file__).parent / "manifest.schema.json"


def schema_text() -> str:
    """The file's text: sorted, indented, ending in a newline."""
    return json.dumps(Manifest.model_json_schema(by_alias=True), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
