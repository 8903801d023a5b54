"""``dmformer cache``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmformer.cli.declare import Command
from dmformer.pipeline.requests import CacheOptions

if TYPE_CHECKING:
    from dmformer.pipeline.caching import CacheDocument


def show(document: CacheDocument) -> None:
    """The entries, or that they are gone."""
    from datetime import datetime, timezone

    from dmformer.cli.output import console, escaped, size_text, table

    out = console()
    entries = document.entries
    total = size_text(sum(entry.size for entry in entries))
    verb = "removed from" if document.cleared else "in"
    out.print(f"{len(entries)} entries, {escaped(total)}, {escaped(verb)} [bold]{escaped(document.directory)}[/bold]")
    if entries and not document.cleared:
        grid = table(None, "kind", "key", ">size", "written")
        for entry in entries:
            when = datetime.fromtimestamp(entry.written, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
            grid.add_row(escaped(entry.kind), escaped(entry.key[:12]), size_text(entry.size), escaped(when))
        out.print(grid)


CACHE = Command(
    "cache",
    CacheOptions,
    "dmformer.pipeline.caching:look_into_cache",
    show,
    "List or clear the cached ranges. An entry is only found again where nothing that it depends on has changed.",
    (("dmformer cache", "what is kept, and where"), ("dmformer cache --clear", "remove it")),
    talks=False,
)
