"""What lies under a folder: the images of each subfolder, and all the rest counted, so that nothing vanishes unsaid."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dmformer.data.images import EXTENSIONS
from dmformer.errors import DataError
from dmformer.texts import SHOWN, listed

# What systems and archivers leave behind: macOS, Synology, QNAP, ext4, Windows.
_SYSTEM = frozenset({
    "__MACOSX", "@eaDir", "#recycle", "@Recycle", "lost+found", "$RECYCLE.BIN", "System Volume Information",
})  # fmt: skip

_UNREAD = frozenset({
    ".arw", ".avif", ".cr2", ".cr3", ".dng", ".exr", ".hdr", ".heic", ".heif", ".hif", ".ico", ".j2k", ".jp2", ".jxl",
    ".nef", ".orf", ".psd", ".raw", ".rw2", ".svg", ".tga",
})  # fmt: skip
"""Endings of pictures that nothing here reads: a folder of them is a class without a picture, not no class."""


def nfc(text: str) -> str:
    """Composed Unicode: macOS and some archives decompose the names of files."""
    return unicodedata.normalize("NFC", text)


@dataclass
class Tree:
    """What `read_tree` found under ``root``; paths are relative to it, with ``/``.

    Attributes:
        root: The folder.
        loose: Images beside the subfolders.
        folders: Images under each visible subfolder; none where it has none.
        unread: Subfolders without images that hold pictures of formats that are not read.
        others: Files that are no images, counted by their ending.
        hidden: Files in or under hidden and systems' own places, counted by the name of the place.
        links: Links to folders that were read already.
    """

    root: Path
    loose: list[str] = field(default_factory=list)
    folders: dict[str, list[str]] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    others: Counter[str] = field(default_factory=Counter)
    hidden: Counter[str] = field(default_factory=Counter)
    links: list[str] = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        """The subfolders that are classes, in composed order."""
        return sorted((name for name, files in self.folders.items() if files or name in self.unread), key=nfc)

    def notes(self) -> tuple[str, ...]:
        """One line for each reason to leave something aside."""
        empty = sorted(set(self.folders).difference(self.classes))
        texts = [
            (self.others, f"{self.others.total()} files are no images that can be read: {_counted(self.others)}"),
            (self.hidden, f"hidden or a system's own, left aside: {_counted(self.hidden)} (files)"),
            (self.links, f"links to folders that were read already, left aside: {listed(self.links)}"),
            (empty, f"folders without images, taken as no class: {listed(empty)}"),
        ]
        return tuple(f"{self.root.name or self.root}: {text}" for there, text in texts if there)


def _counted(counts: Counter[str]) -> str:
    shown = [f"{count} {name!r}" for name, count in counts.most_common(SHOWN)]
    rest = counts.total() - sum(count for _, count in counts.most_common(SHOWN))
    return ", ".join(shown) + (f", {rest} more" if rest else "")


def read_tree(root: Path) -> Tree:
    """Lists a folder and all under it; links to folders are followed, each folder once for every subfolder.

    Raises:
        DataError: A folder cannot be listed.
    """
    tree = Tree(root)
    above = {_identity(folder) for folder in (root.resolve(), *root.resolve().parents)}
    for entry in _visible(tree, root):
        if _is_folder(entry):
            others = Counter(tree.others)
            tree.folders[entry.name] = sorted(_images_under(tree, entry.name, set(above)), key=nfc)
            if not tree.folders[entry.name] and (tree.others - others).keys() & _UNREAD:
                tree.unread.add(entry.name)
        elif _is_image(tree, entry.name):
            tree.loose.append(entry.name)
    return tree


def _images_under(tree: Tree, folder: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    pending, linked = [folder], list[str]()
    while pending or linked:
        relative = (pending or linked).pop()  # What lies here comes before what links lead to.
        identity = _identity(tree.root / relative)
        if identity in seen:
            tree.links.append(relative)
            continue
        seen.add(identity)
        for entry in _visible(tree, tree.root / relative):
            if _is_folder(entry):
                (linked if entry.is_symlink() else pending).append(f"{relative}/{entry.name}")
            elif _is_image(tree, entry.name):
                yield f"{relative}/{entry.name}"


def _visible(tree: Tree, folder: Path) -> list[os.DirEntry[str]]:
    """The entries in composed order, without hidden ones and systems' own, which are counted."""
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: nfc(entry.name))
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be listed: {error.strerror or error}", "Check the folder's permissions."
        ) from error
    for entry in filter(_is_aside, entries):
        files = sum(len(files) for _, _, files in os.walk(entry.path)) if _is_folder(entry) else 1
        tree.hidden.update({entry.name: files} if files else {})
    return [entry for entry in entries if not _is_aside(entry)]


def _is_aside(entry: os.DirEntry[str]) -> bool:
    return entry.name.startswith(".") or entry.name in _SYSTEM


def _is_image(tree: Tree, name: str) -> bool:
    ending = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a Path for each of a million names is slow
    if ending not in EXTENSIONS:
        tree.others[ending or "no ending"] += 1
    return ending in EXTENSIONS


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # A link to itself: reading it as an image says so.


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be listed: {error.strerror or error}", "Check the folder's permissions."
        ) from error
    return status.st_dev, status.st_ino
