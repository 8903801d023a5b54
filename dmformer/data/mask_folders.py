"""Images with masks in folders side by side: ADE20K, Cityscapes, Pascal VOC, and plain pairs with equal names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dmformer.common_options import MASKS, MaskOptions
from dmformer.data.dataset import Sample, loaded_hashes
from dmformer.data.folders import file_digest, is_split
from dmformer.data.images import load_image
from dmformer.data.known_sets import LAYOUTS, Layout
from dmformer.data.masks import Mask, drawn_on_stored, read_mask, read_palette
from dmformer.data.tree import nfc, read_tree
from dmformer.errors import DataError
from dmformer.fields import Palette
from dmformer.reading import read_bounded
from dmformer.texts import listed, plain

_MOST_BYTES = 1 << 22
"""Of a file that lists names."""
_DEEP = 3
"""Folders between the images' folder and one that can be named in its place."""


@dataclass(frozen=True)
class MaskedFolder:
    """Image files under ``root``, each with a mask; a `dmformer.data.dataset.Dataset`.

    Attributes:
        root: The folder.
        files: Image and mask of each sample, relative to ``root``, with ``/``.
        options: What the masks' values mean.
        classes: The classes' names, or None.
        palette: A colour for each class, or None.
        notes: What was left aside or taken for granted, one line each.
    """

    root: Path
    files: tuple[tuple[str, str], ...]
    options: MaskOptions = MASKS
    classes: tuple[str, ...] | None = None
    palette: Palette | None = None
    notes: tuple[str, ...] = ()
    labels = None
    labelled = True

    @property
    def name(self) -> str:
        return self.root.name or str(self.root)

    def __len__(self) -> int:
        return len(self.files)

    def sample_name(self, index: int) -> str:
        return self.files[index][0]

    def mask_name(self, index: int) -> str:
        """The mask's file, relative to ``root``."""
        return self.files[index][1]

    def mask(self, index: int) -> Mask:
        """The mask alone, as it is stored. Raises DataError if it is unreadable."""
        return read_mask(self.root / self.files[index][1], self.options)

    def load(self, index: int) -> Sample:
        image, name = self.files[index]
        pixels, mask = load_image(self.root / image), self.mask(index)
        size = pixels.shape[:2]
        if mask.shape == size[::-1] != size:
            mask = drawn_on_stored(mask, self.root / image)
        if mask.shape != size:
            raise DataError(
                f"{self.root / name}: has {mask.shape[1]}x{mask.shape[0]} pixels, its image {size[1]}x{size[0]}",
                "Give every image a mask of its own size.",
            )
        return Sample(pixels, None, image, mask)

    def select(self, indices: Sequence[int]) -> MaskedFolder:
        return replace(self, files=tuple(self.files[index] for index in indices))

    def digest(self) -> str:
        digest = hashlib.sha256(repr(self.options).encode())
        for pair in sorted(self.files):
            for file in pair:
                head = f"{nfc(file)}\0".encode("utf-8", "surrogateescape")
                digest.update(head + file_digest(self.root / file))
        return digest.hexdigest()

    def content_hashes(self) -> Iterator[str]:
        return loaded_hashes(self)


@dataclass(frozen=True)
class _Place:
    """Where a layout was found: ``images`` and ``masks`` lie in ``root``, and ``under`` was asked for in both."""

    layout: Layout
    root: Path
    images: str
    masks: str
    under: str = ""


def images_folder(path: Path) -> Path | None:
    """The folder of the images, where a folder has masks beside them; else None."""
    place = _within(path)
    return None if place is None else place.root / place.images


def open_masked(path: Path, options: MaskOptions, labels: Sequence[str] | None = None) -> MaskedFolder | None:
    """Find images and their masks.

    Args:
        path: A folder with one of images and one of masks, or a part of that of the images: ``images/training``.
        options: What the masks' values mean.
        labels: The model's class names, if it has them: folders that are called so are classes.

    Returns:
        None where the folder is none of `dmformer.data.known_sets.LAYOUTS`.

    Raises:
        DataError: The folders cannot be read, or no image has a mask.
    """
    place = _within(path) or _around(path)
    if place is None or {place.images, place.masks} <= set(labels or ()):
        return None
    files, notes = _paired(place)
    if not files:
        return None
    names = place.layout.classes or _names(place)
    if names and place.layout.names and not options.reduce_zero_label:
        names = ("other", *names)
    colours = place.layout.palette or read_palette(place.root / files[0][1])
    if colours and options.reduce_zero_label:
        colours = colours[1:]
    return MaskedFolder(place.root, files, options, names, colours, notes)


def _within(path: Path) -> _Place | None:
    folders = {entry.name.casefold(): entry.name for entry in path.iterdir() if entry.is_dir()}
    for layout in LAYOUTS:
        if layout.images in folders and layout.masks in folders:
            return _Place(layout, path, folders[layout.images], folders[layout.masks])
    return None


def _around(path: Path) -> _Place | None:
    """The layout whose images a folder is a part of, where the masks have the same part."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100 - a link to the images may lie beside the masks
    for images in (whole, *whole.parents)[:_DEEP]:
        if not images.name or not any(layout.images == images.name.casefold() for layout in LAYOUTS):
            continue
        place, under = _within(images.parent), whole.relative_to(images).as_posix()
        if place is not None and place.images == images.name and (images.parent / place.masks / under).is_dir():
            return replace(place, under=under)
    return None


def _paired(place: _Place) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """The images with their masks, and what was left aside."""
    layout = place.layout
    images = _keyed(place, place.images, layout.image_ending)
    masks = _keyed(place, place.masks, layout.mask_ending)
    images, notes = _chosen(place, images)
    both = [key for key in images if key in masks]
    alone = [images[key] for key in images if key not in masks]
    if images and not both and not place.under and _keyed(place, place.masks, ""):
        name = f"{place.root}: no image in {place.images} has a mask in {place.masks}"
        raise DataError(f"{name}: {alone[0]} has none", layout.advice)
    if alone:
        notes.append(f"{place.root.name}: {len(alone)} images without a mask are left aside: {listed(alone)}")
    return tuple((images[key], masks[key]) for key in both), tuple(notes)


def _keyed(place: _Place, folder: str, ending: str) -> dict[str, str]:
    """The pictures of a folder: by what image and mask share of their names -> the path under the root."""
    base = place.root / folder / place.under
    tree = read_tree(base)
    files = [*tree.loose, *(file for name in sorted(tree.folders, key=nfc) for file in tree.folders[name])]
    stems = {file: nfc(file.rpartition(".")[0]) for file in files}
    before = f"{folder}/{place.under}/" if place.under not in ("", ".") else f"{folder}/"
    return {stem.removesuffix(ending): before + file for file, stem in stems.items() if stem.endswith(ending)}


def _chosen(place: _Place, images: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """The images of a listing, or of the split that is for validation, where there are any; and that it was chosen."""
    if place.under:
        return images, []
    listing = place.layout.listing
    if listing and (place.root / listing).is_file():
        names = _lines(place.root / listing)
        kept = {name: images[name] for name in map(nfc, names) if name in images}
        return kept, [f"{place.root.name}: {len(kept)} of the {len(names)} images in {listing} are there"]
    splits = sorted({key.partition("/")[0] for key in images if "/" in key and is_split(key.partition("/")[0])})
    if not splits:
        return images, []
    chosen = min(splits, key=_rank)
    kept = {key: file for key, file in images.items() if key.startswith(f"{chosen}/")}
    note = (
        f"{place.root.name}: {chosen} is taken of the splits {', '.join(splits)}; another: {place.images}/{splits[0]}"
    )
    return kept, [note] if len(splits) > 1 else []


def _rank(split: str) -> int:
    words = ("val", "dev", "eval", "test", "")
    return next(rank for rank, word in enumerate(words) if word in split.casefold())


def _names(place: _Place) -> tuple[str, ...] | None:
    """The classes' names of ADE20K, in the last column: the first word for each where that tells all apart."""
    file = place.root / (place.layout.names or "")
    if place.layout.names is None or not file.is_file():
        return None
    names = [plain(line.rpartition("\t")[2].strip()) for line in _lines(file)[1:]]
    short = [name.partition(",")[0] for name in names]
    return tuple(short if len(set(short)) == len(short) else names) or None


def _lines(file: Path) -> list[str]:
    try:
        text = read_bounded(file, _MOST_BYTES).decode()
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read: {error}", "Copy it from the data set again.") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
