"""A folder of images: with one subfolder per class, or flat and without labels."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmformer.data.dataset import Sample, loaded_hashes
from dmformer.data.images import EXTENSIONS, load_image
from dmformer.errors import DataError

_CHUNK = 1 << 20
_SHOWN = 5
_MAX_DIGITS = 10


@dataclass(frozen=True)
class FolderDataset:
    """Image files under ``root``; a `dmformer.data.dataset.Dataset`.

    Attributes:
        root: The folder.
        files: Paths relative to ``root``, with ``/``.
        file_labels: One label per file, or None.
        classes: Class names by label, or None.
    """

    root: Path
    files: tuple[str, ...]
    file_labels: tuple[int, ...] | None = None
    classes: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        return self.root.name or str(self.root)

    @property
    def labels(self) -> NDArray[np.int64] | None:
        return None if self.file_labels is None else np.array(self.file_labels, dtype=np.int64)

    @property
    def labelled(self) -> bool:
        return self.file_labels is not None

    def __len__(self) -> int:
        return len(self.files)

    def sample_name(self, index: int) -> str:
        return self.files[index]

    def load(self, index: int) -> Sample:
        label = None if self.file_labels is None else self.file_labels[index]
        return Sample(load_image(self.root / self.files[index]), label, self.files[index])

    def select(self, indices: Sequence[int]) -> FolderDataset:
        labels = None if self.file_labels is None else tuple(self.file_labels[index] for index in indices)
        return FolderDataset(self.root, tuple(self.files[index] for index in indices), labels, self.classes)

    def digest(self) -> str:
        digest = hashlib.sha256()
        labels = self.file_labels or (None,) * len(self)
        for file, label in sorted(zip(self.files, labels, strict=True), key=lambda pair: pair[0]):
            head = f"{file}\0{label}\0".encode("utf-8", "surrogateescape")
            digest.update(head + _file_digest(self.root / file))
        return digest.hexdigest()

    def content_hashes(self) -> Iterator[str]:
        return loaded_hashes(self)


def _file_digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    try:
        if not path.is_file():
            return b"unreadable"
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError:
        return b"unreadable"
    return digest.digest()


def open_folder(root: Path, labels: Sequence[str] | None = None) -> FolderDataset:
    """Find the images of a folder.

    Subfolders with images in them are classes. They are matched to ``labels`` by name or, if all their names
    are whole numbers, taken as indices; without ``labels``, other names are numbered in sorted order. A folder
    without such subfolders is flat: no labels. Hidden files and folders are ignored.

    Args:
        root: The folder.
        labels: The model's class names by index, if it has them.

    Raises:
        DataError: The folder cannot be read or has no images, images lie both beside and in class folders,
            or class folders do not match ``labels``.
    """
    loose, folders = _list(root)
    by_class = {folder: _walk(root, folder) for folder in folders}
    if not any(by_class.values()):
        if not loose:
            raise DataError(
                f"{root}: no images found",
                f"Put images ({', '.join(sorted(EXTENSIONS))}) into it, flat or in one subfolder per class.",
            )
        return FolderDataset(root, tuple(loose))
    if loose:
        raise DataError(
            f"{root}: images lie both in the folder ({loose[0]}) and in subfolders ({folders[0]})",
            "Keep them either flat or all in class subfolders.",
        )
    index_of, classes = _match_classes(root, folders, labels)
    pairs = [(file, index_of[folder]) for folder, files in by_class.items() for file in files]
    return FolderDataset(root, tuple(file for file, _ in pairs), tuple(label for _, label in pairs), classes)


def _list(root: Path) -> tuple[list[str], list[str]]:
    try:
        entries = sorted(entry for entry in root.iterdir() if not entry.name.startswith("."))
        folders = [entry.name for entry in entries if entry.is_dir()]
    except OSError as error:
        raise _unreadable(root, error) from error
    taken = set(folders)
    return [entry.name for entry in entries if entry.name not in taken and _is_image(entry.name)], folders


def _walk(root: Path, folder: str) -> list[str]:
    def fail(error: OSError) -> None:
        raise _unreadable(root / folder, error) from error

    found: list[str] = []
    for parent, subfolders, files in os.walk(root / folder, onerror=fail):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        found += [(Path(parent) / name).relative_to(root).as_posix() for name in files if _is_image(name)]
    return sorted(found)


def _is_image(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS


def _unreadable(folder: Path, error: OSError) -> DataError:
    return DataError(f"{folder}: cannot be listed: {error.strerror or error}", "Check the folder's permissions.")


def _match_classes(
    root: Path, folders: list[str], labels: Sequence[str] | None
) -> tuple[dict[str, int], tuple[str, ...] | None]:
    numbered = all(folder.isascii() and folder.isdigit() and len(folder) < _MAX_DIGITS for folder in folders)
    if labels is None:
        if numbered:
            return {folder: int(folder) for folder in folders}, None
        return {folder: index for index, folder in enumerate(folders)}, tuple(folders)
    counts = Counter(labels)
    by_name = {label: index for index, label in enumerate(labels) if counts[label] == 1}
    if numbered and not by_name.keys() >= set(folders):
        by_name = {folder: int(folder) for folder in folders if int(folder) < len(labels)}
    strangers = [folder for folder in folders if folder not in by_name]
    if strangers:
        raise _mismatch(root, strangers, labels)
    return {folder: by_name[folder] for folder in folders}, tuple(labels)


def _mismatch(root: Path, strangers: list[str], labels: Sequence[str]) -> DataError:
    shown = ", ".join(repr(name) for name in strangers[:_SHOWN]) + (", ..." if len(strangers) > _SHOWN else "")
    known = ", ".join(repr(name) for name in labels[:_SHOWN]) + (", ..." if len(labels) > _SHOWN else "")
    return DataError(
        f"{root}: {len(strangers)} class folders do not match exactly one label of the model: {shown}",
        f"The model's {len(labels)} labels are {known}: name the folders so, or by index (0 to {len(labels) - 1}).",
    )
