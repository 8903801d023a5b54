"""A folder of images: with one subfolder per class, or flat and without labels."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmformer.data.dataset import Dataset, Sample, loaded_hashes
from dmformer.data.images import EXTENSIONS, load_image
from dmformer.data.tree import Tree, nfc, read_tree
from dmformer.errors import DataError
from dmformer.texts import listed

_CHUNK = 1 << 20
_MAX_DIGITS = 10
_FAR_BETTER = 0.2
"""How much more of the answers must be right for another order of the classes to be spoken of."""

_FEW = 5
"""Images a class: with fewer, any answers look like an order."""

_SPLITS = frozenset(
    {"train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval", "evaluation", "holdout"}
)
_OF_SPLITS = frozenset({"", "data", "images", "imgs", "image", "split"})
"""Words that stand beside a split's in a folder's name, as numbers do: ``val2017``, ``train_images``, ``testset``."""


@dataclass(frozen=True)
class FolderDataset:
    """Image files under ``root``; a `dmformer.data.dataset.Dataset`.

    Attributes:
        root: The folder.
        files: Paths relative to ``root``, with ``/``.
        file_labels: One label per file, or None.
        classes: Class names by label, or None.
        notes: What was left aside or taken for granted, one line each.
        text_labels: The labels that the folders' numbers would give in their order as text, where that is another.
        assumed: The classes are numbered in the sorted order of their names, for want of labels.
    """

    root: Path
    files: tuple[str, ...]
    file_labels: tuple[int, ...] | None = None
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    text_labels: tuple[int, ...] | None = None
    assumed: bool = False
    palette = None

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
        def selected(labels: tuple[int, ...] | None) -> tuple[int, ...] | None:
            return None if labels is None else tuple(labels[index] for index in indices)

        files = tuple(self.files[index] for index in indices)
        return replace(
            self, files=files, file_labels=selected(self.file_labels), text_labels=selected(self.text_labels)
        )

    def digest(self) -> str:
        digest = hashlib.sha256()
        labels = self.file_labels or (None,) * len(self)
        for file, label in sorted(zip(self.files, labels, strict=True), key=lambda pair: pair[0]):
            head = f"{nfc(file)}\0{label}\0".encode("utf-8", "surrogateescape")
            digest.update(head + file_digest(self.root / file))
        return digest.hexdigest()

    def content_hashes(self) -> Iterator[str]:
        return loaded_hashes(self)


def file_digest(path: Path) -> bytes:
    """SHA-256 of a file's content; a word in its place where it cannot be read."""
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

    Subfolders with images in them are classes. They are matched to ``labels`` by name or, if their names are whole
    numbers, taken as indices; without ``labels``, other names are numbered in sorted order. Names are compared in
    composed Unicode. A folder without such subfolders is flat: no labels. What is left aside is in the notes.

    Args:
        root: The folder.
        labels: The model's class names by index, if it has them.

    Raises:
        DataError: The folder cannot be read or has no images, images lie both beside and in class folders,
            its subfolders are the splits of a data set, or class folders do not match ``labels``.
    """
    tree = _with_images(root)
    if not tree.classes:
        return FolderDataset(root, tuple(tree.loose), notes=tree.notes())
    if tree.loose:
        raise DataError(
            f"{root}: images lie both in the folder ({tree.loose[0]}) and in subfolders ({tree.classes[0]})",
            "Keep them either flat or all in class subfolders.",
        )
    _refuse_splits(tree, labels)
    index_of, classes = _match_classes(tree, labels)
    assumed = labels is None and classes is not None
    pairs = [(file, folder) for folder in tree.classes for file in tree.folders[folder]]
    files = tuple(file for file, _ in pairs)
    dataset = FolderDataset(
        root, files, tuple(index_of[folder] for _, folder in pairs), classes, tree.notes(), assumed=assumed
    )
    return _with_text_order(dataset, index_of, [folder for _, folder in pairs])


def open_images(root: Path) -> FolderDataset:
    """All images under a folder, however they lie, without labels.

    Raises:
        DataError: The folder cannot be read or has no images.
    """
    tree = _with_images(root)
    files = (*tree.loose, *(file for folder in tree.classes for file in tree.folders[folder]))
    return FolderDataset(root, files, notes=tree.notes())


def _with_images(root: Path) -> Tree:
    tree = read_tree(root)
    if not tree.loose and not any(tree.folders.values()):
        raise DataError(
            "; ".join((f"{root}: no images found", *tree.notes())),
            f"Put images ({', '.join(sorted(EXTENSIONS))}) into it, flat or in one subfolder per class.",
        )
    return tree


def _refuse_splits(tree: Tree, labels: Sequence[str] | None) -> None:
    splits = [folder for folder in tree.classes if is_split(folder)]
    others = [folder for folder in splits if "train" not in folder.casefold()]
    known = {nfc(label) for label in labels or ()}
    # One name may be a class among others; a training set beside another split is not.
    certain = len(splits) == len(tree.classes) or 0 < len(others) < len(splits)
    if certain and not known.issuperset(splits):
        raise DataError(
            f"{tree.root}: {listed(splits)} are splits of a data set, not classes",
            f"Give one of them: {tree.root / (others or splits)[0]}",
        )


def is_split(folder: str) -> bool:
    """Whether a folder's name is that of a data set's split."""
    words = {word.removesuffix("set") for word in re.findall(r"[^\W\d_]+", folder.casefold())}
    return not words.isdisjoint(_SPLITS) and words <= _SPLITS | _OF_SPLITS


def _match_classes(tree: Tree, labels: Sequence[str] | None) -> tuple[dict[str, int], tuple[str, ...] | None]:
    folders = tree.classes
    by_number = {folder: int(folder) for folder in folders if _is_number(folder)}
    if labels is None:
        if len(by_number) == len(folders):
            return by_number, None
        names = sorted({nfc(folder) for folder in folders})
        return {folder: names.index(nfc(folder)) for folder in folders}, tuple(names)
    names_of = [_folder_names(label) for label in labels]
    counts = Counter(name for names in names_of for name in names)
    unique = {name: index for index, names in enumerate(names_of) for name in names if counts[name] == 1}
    by_name = {folder: unique[nfc(folder)] for folder in folders if nfc(folder) in unique}
    in_range = {folder: index for folder, index in by_number.items() if index < len(labels)}
    # Whichever reading fits more of them: then those left over are the strangers.
    matched = by_name if len(by_name) >= len(in_range) else in_range
    strangers = [folder for folder in folders if folder not in matched]
    if strangers:
        raise _mismatch(tree.root, strangers, labels)
    return matched, tuple(labels)


def _folder_names(label: str) -> tuple[str, ...]:
    """How a folder with images of a class can be called: no name of a folder holds a slash."""
    name = nfc(label)
    return tuple(name.replace("/", sign) for sign in "_- :") if "/" in name else (name,)


def _is_number(folder: str) -> bool:
    return folder.isascii() and folder.isdigit() and len(folder) < _MAX_DIGITS


def _mismatch(root: Path, strangers: list[str], labels: Sequence[str]) -> DataError:
    names = listed(_folder_names(label)[0] for label in labels)
    return DataError(
        f"{root}: {len(strangers)} class folders do not match exactly one label of the model: {listed(strangers)}",
        f"The model's {len(labels)} labels are {names}: name the folders so, or by index (0 to {len(labels) - 1}).",
    )


def _with_text_order(dataset: FolderDataset, index_of: dict[str, int], folders: list[str]) -> FolderDataset:
    """Remembers the other order that numbers may be meant in: torchvision's ImageFolder sorts names as text."""
    order = {folder: position for position, folder in enumerate(sorted(index_of))}
    differing = [folder for folder in sorted(index_of) if order[folder] != index_of[folder]]
    if not differing or any(not _is_number(folder) or int(folder) != index_of[folder] for folder in index_of):
        return dataset
    folder = differing[0]
    note = (
        f"{dataset.name}: the folders' numbers are taken as class indices: {folder!r} is class {index_of[folder]}; "
        f"sorted as text, as by torchvision's ImageFolder, it would be class {order[folder]}"
    )
    return replace(dataset, notes=(*dataset.notes, note), text_labels=tuple(order[name] for name in folders))


def better_order(dataset: Dataset, indices: Sequence[int], answers: NDArray[np.int64]) -> str | None:
    """Says so where class folders fit a model's answers far better in another order than in the one taken.

    Args:
        dataset: What was asked.
        indices: Which of its images.
        answers: The class that the model gave for each of them, int64 [N].
    """
    if not isinstance(dataset, FolderDataset) or dataset.labels is None:
        return None
    rows = np.asarray(indices, dtype=np.int64)
    taken = float(np.mean(dataset.labels[rows] == answers))
    if dataset.assumed:
        return _other_classes(dataset.name, dataset.labels[rows], answers, taken)
    if dataset.text_labels is None:
        return None
    as_text = float(np.mean(np.array(dataset.text_labels)[rows] == answers))
    if as_text < taken + _FAR_BETTER:
        return None
    return (
        f"{dataset.name}: {taken:.0%} of the answers are right with the folders' numbers as class indices, but "
        f"{as_text:.0%} with the folders sorted as text: rename them to the model's class index or label"
    )


def _other_classes(name: str, labels: NDArray[np.int64], answers: NDArray[np.int64], taken: float) -> str | None:
    """Says so where each folder stands for a class of its own, though not for the one that its name's place gives."""
    size = 1 + int(max(labels.max(), answers.max()))
    if len(labels) < _FEW * size:
        return None
    counts = np.zeros((size, size), np.int64)
    np.add.at(counts, (labels, answers), 1)
    others = float(counts.max(axis=1).sum() / len(labels))
    if len(set(counts.argmax(axis=1))) < size or others < taken + _FAR_BETTER:
        return None
    return (
        f"{name}: {taken:.0%} of the answers are right with the folders numbered in sorted order, but "
        f"{others:.0%} in another order: the weights name no classes, so give their names in order with --labels"
    )
