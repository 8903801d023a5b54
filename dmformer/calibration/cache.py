"""A cache of ranges and plans, keyed by the content of everything that they depend on.

The key is a hash over weights, graph, images, preprocessing, method and versions: a changed input is
another key, so nothing stale is ever found. Damaged entries count as absent and are overwritten.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from dmformer.files import write_atomically
from dmformer.reading import read_json

T = TypeVar("T", bound=BaseModel)
SUFFIX = ".json"
MAX_BYTES = 2**28


@dataclass(frozen=True)
class Entry:
    """One cached document: its kind (``ranges``, ``plan``), key, size in bytes and time of writing (Unix, s)."""

    kind: str
    key: str
    size: int
    written: float


def cache_key(parts: Mapping[str, str | int | float | bool | None]) -> str:
    """SHA-256 (hex) over named parts; the order of the names does not matter."""
    return hashlib.sha256(json.dumps(dict(sorted(parts.items()))).encode()).hexdigest()


class Cache:
    """Documents in one directory, which is made when the first one is stored.

    Args:
        directory: Where; `dmformer.files.user_cache` for the user's own.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def get(self, kind: str, key: str, form: type[T]) -> T | None:
        """The stored document, or None where there is none that is whole and valid."""
        path = self._path(kind, key)
        try:
            stored = read_json(path, MAX_BYTES)
            document = stored["document"]
            if stored["key"] != key or stored["digest"] != _digest(document):
                return None
            return form.model_validate_json(json.dumps(document))
        except (OSError, ValueError, KeyError, TypeError, ValidationError, RecursionError):
            return None

    def put(self, kind: str, key: str, document: BaseModel) -> bool:
        """Stores a document; says whether that worked. A cache that cannot be written is no error."""
        content = document.model_dump(mode="json", by_alias=True)
        stored = {"key": key, "digest": _digest(content), "document": content}
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path(kind, key), json.dumps(stored, sort_keys=True).encode())
        except OSError:
            return False
        return True

    def entries(self) -> list[Entry]:
        """Everything stored, by kind and key; files of others are not looked at."""
        entries = []
        for path in sorted(self.directory.glob(f"*-*{SUFFIX}")):
            kind, _, key = path.name.removesuffix(SUFFIX).partition("-")
            if len(key) == 64 and not path.is_symlink() and path.is_file():
                status = path.stat()
                entries.append(Entry(kind, key, status.st_size, status.st_mtime))
        return entries

    def clear(self) -> int:
        """Removes every entry and returns how many there were; other files stay."""
        entries = self.entries()
        for entry in entries:
            self._path(entry.kind, entry.key).unlink(missing_ok=True)
        return len(entries)

    def _path(self, kind: str, key: str) -> Path:
        return self.directory / f"{kind}-{key}{SUFFIX}"


def _digest(document: object) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
