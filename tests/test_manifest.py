"""The manifest as data, and its JSON Schema under docs/."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from dmformer.bundle import Bundle
from dmformer.fields import TensorSpec
from dmformer.manifest import SCHEMA, Manifest
from dmformer.records import FileEntry
from dmformer.staging import BUNDLE
from tests.support import ROOT

SCHEMA_FILE = ROOT / "docs" / "manifest.schema.json"


def test_the_schema_under_docs_is_this_version_s() -> None:
    written = json.loads(SCHEMA_FILE.read_text())
    assert written == Manifest.model_json_schema(by_alias=True), "run docs/make_schema.py"


def test_the_schema_names_every_field_as_the_file_does(exported: Callable[..., Path]) -> None:
    written = json.loads(SCHEMA_FILE.read_text())
    manifest = json.loads((exported("onnxruntime") / "manifest.json").read_text())
    assert set(manifest) == set(written["properties"])
    assert written["additionalProperties"] is False
    assert "schema" in written["properties"]


def test_every_schema_version_is_of_the_family_that_force_replaces() -> None:
    assert SCHEMA.startswith(BUNDLE.family)


def test_a_manifest_cannot_be_changed(exported: Callable[..., Path]) -> None:
    manifest = Bundle.load(exported("onnxruntime")).manifest
    with pytest.raises(ValidationError, match="frozen"):
        setattr(manifest, "name", "other")  # noqa: B010 - what the type checker forbids is what is tested


def test_the_first_file_with_a_role_is_found_by_name(exported: Callable[..., Path]) -> None:
    entry = FileEntry(sha256="0" * 64, bytes=1, role="engine")
    manifest = Bundle.load(exported("onnxruntime")).manifest.model_copy(update={"files": {"b": entry, "a": entry}})
    assert manifest.file_with_role("engine") == "a"
    assert manifest.file_with_role("weights") is None


def test_a_dynamic_dimension_is_none() -> None:
    assert TensorSpec(name="image", shape=(None, 3, 32, 32)).shape[0] is None
    with pytest.raises(ValidationError):
        TensorSpec(name="image", shape=(-1, 3, 32, 32))
