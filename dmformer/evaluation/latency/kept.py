"""Measurements that were kept in files, which anybody may have written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dmformer.errors import DataError
from dmformer.evaluation.latency.document import SCHEMA, Document
from dmformer.reading import read_json
from dmformer.tasks import version_1
from dmformer.texts import first_problem

FIRST_SCHEMA, FLEET_SCHEMA = "dmformer.bench/1", "dmformer.fleet/1"
AGAIN = "make it with: dmformer bench BUNDLE... --output bench.json"
MAX_BYTES = 64 << 20


def read_document(path: Path | str) -> Document:
    """Reads what ``dmformer bench --json`` or ``--output`` wrote of one machine.

    Raises:
        DataError: See `read_documents`; also where it is of several machines.
    """
    documents = read_documents(path)
    if len(documents) > 1:
        raise DataError(
            f"{path}: holds measurements of {len(documents)} devices", "measure each with an --on of its own"
        )
    return documents[0]


def read_documents(path: Path | str) -> tuple[Document, ...]:
    """Reads what ``dmformer bench`` wrote: of one machine, or with ``--on`` of several.

    Raises:
        DataError: Not such a file, of another schema, or with a field that is missing, unknown or out of range.
    """
    path = Path(path)
    try:
        document = read_json(path, MAX_BYTES)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", AGAIN) from error
    except ValueError as error:
        raise DataError(f"{path}: is not JSON", AGAIN) from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != FLEET_SCHEMA:
        return (_validated(path, document),)
    parts = document.get("documents")
    if not isinstance(parts, dict) or not parts:
        raise DataError(f"{path}: no device has answered", AGAIN)
    return tuple(_validated(path, part) for part in parts.values())


def _validated(path: Path, document: Any) -> Document:
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema == FIRST_SCHEMA:
        document = version_1.measurement_of(document) | {"schema": SCHEMA}
    elif schema != SCHEMA:
        raise DataError(f"{path}: its schema is {ascii(schema)[:80]}, this version reads {SCHEMA!r}", AGAIN)
    try:
        return Document.model_validate(document)
    except ValidationError as error:
        raise DataError(f"{path}: {first_problem(error)}", AGAIN) from error
