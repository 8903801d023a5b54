"""What ``dmformer cache`` does: the cached ranges, listed or removed."""

from __future__ import annotations

from typing import Literal

from dmformer.calibration.cache import Cache, Entry
from dmformer.documents import Document, schema
from dmformer.errors import OutputError
from dmformer.files import user_cache
from dmformer.pipeline.requests import CacheOptions
from dmformer.progress import Progress


class CacheDocument(Document):
    """What was in the cache, and whether it was removed."""

    schema_: Literal["dmformer.cache/1"] = schema("dmformer.cache/1")
    directory: str
    cleared: bool
    entries: tuple[Entry, ...]


def look_into_cache(options: CacheOptions, progress: Progress | None = None) -> CacheDocument:
    """Lists the entries, and removes them where that is asked for.

    Raises:
        OutputError: This user has no cache.
    """
    directory = user_cache()
    if directory is None:
        raise OutputError("there is no cache: this user has no home directory", "set HOME or XDG_CACHE_HOME")
    store = Cache(directory)
    entries = tuple(store.entries())
    if options.clear:
        store.clear()
    return CacheDocument(directory=str(store.directory), cleared=options.clear, entries=entries)
