"""A specification and its weights as a ``.mlpackage`` directory, the same bytes for the same input.

coremltools names the items of a package by random identifiers; here they follow from the content.
"""

from __future__ import annotations

import json
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

AUTHOR = "com.apple.CoreML"
SPECIFICATION = f"Data/{AUTHOR}/model.mlmodel"
WEIGHTS = f"Data/{AUTHOR}/weights/weight.bin"
MANIFEST = "Manifest.json"
WEIGHTS_DIGEST = "dmformer.weights_sha256"
"""Metadata of a specification: the SHA-256 of the weight file that it belongs to."""
NAMESPACE = uuid.UUID("6a4c54a4-2b8e-5b7e-9d53-1d3f7e0c9a10")


@dataclass(frozen=True)
class Converted:
    """A specification as bytes, deterministic, and where coremltools wrote the weights."""

    specification: bytes
    weights: Path


def write_package(converted: Converted, directory: Path) -> tuple[str, str, str]:
    """Writes a package.

    Args:
        converted: What coremltools made.
        directory: The ``.mlpackage`` to be; must not exist.

    Returns:
        The paths of manifest, specification and weights inside it.
    """
    (directory / WEIGHTS).parent.mkdir(parents=True)
    (directory / SPECIFICATION).write_bytes(converted.specification)
    shutil.copyfile(converted.weights, directory / WEIGHTS)
    root = _item("Specification", "model.mlmodel", "model.mlmodel")
    entries = dict((root, _item("Weights", "weights", "weights")))
    document = {"fileFormatVersion": "1.0.0", "itemInfoEntries": entries, "rootModelIdentifier": root[0]}
    (directory / MANIFEST).write_text(json.dumps(document, indent=4, sort_keys=True) + "\n", encoding="utf-8")
    return MANIFEST, SPECIFICATION, WEIGHTS


def _item(what: str, name: str, path: str) -> tuple[str, dict[str, str]]:
    identifier = str(uuid.uuid5(NAMESPACE, path))
    return identifier, {
        "author": AUTHOR,
        "description": f"CoreML Model {what}",
        "name": name,
        "path": f"{AUTHOR}/{path}",
    }
