"""Images in one array: `ArrayDataset`, and reading it from an ``.npz`` file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.common_options import MASKS, MaskOptions
from dmformer.data.dataset import Sample, loaded_hashes
from dmformer.data.images import load_image
from dmformer.data.masks import Mask, classes_of
from dmformer.data.npz import ArchiveError, Header, opened
from dmformer.errors import DataError
from dmformer.texts import SHOWN

MAX_BYTES = 2**31
"""Default limit of an array's size in memory."""

_MAX_MEMBERS = 64
_KEYS = {
    "images": "labels", "x": "y", "x_test": "y_test", "test_images": "test_labels", "x_val": "y_val",
    "val_images": "val_labels", "data": "labels", "image": "label", "imgs": "labels", "pixels": "labels",
    "arr_0": "arr_1",
}  # fmt: skip
"""Names of the images -> of their labels, in the order in which they are looked for, whatever their case."""
_LABEL_KEYS = ("labels", "y", "y_test", "label", "targets", "target")
_MASK_KEYS = ("masks", "mask")
_FORM = (
    "Give an .npz with uint8 `images` [N, H, W] or [N, H, W, C] and, optionally, integer `labels` [N] or "
    "`masks` [N, H, W]."
)


@dataclass(frozen=True, eq=False)
class ArrayDataset:
    """Images held in memory; a `dmformer.data.dataset.Dataset`.

    Attributes:
        name: Short name for reports.
        images: uint8 [M, H, W] or [M, H, W, C], C of 1, 3 (RGB) or 4 (RGBA).
        all_labels: int64 [M], or None.
        positions: Which of the M images belong to the set, in order; None for all.
        classes: Class names by label, or None.
        notes: What was left aside, one line each.
        all_masks: Integers [M, H, W], as they are stored, or None.
        options: What the masks' values mean.
    """

    name: str
    images: NDArray[np.uint8]
    all_labels: NDArray[np.int64] | None = None
    positions: tuple[int, ...] | None = None
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    all_masks: NDArray[Any] | None = None
    options: MaskOptions = MASKS
    palette = None

    @property
    def labels(self) -> NDArray[np.int64] | None:
        if self.all_labels is None or self.positions is None:
            return self.all_labels
        return self.all_labels[list(self.positions)]

    @property
    def labelled(self) -> bool:
        return self.all_labels is not None or self.all_masks is not None

    def __len__(self) -> int:
        return len(self.images) if self.positions is None else len(self.positions)

    def _position(self, index: int) -> int:
        return range(len(self.images))[index] if self.positions is None else self.positions[index]

    def sample_name(self, index: int) -> str:
        return f"{self.name}[{self._position(index)}]"

    def load(self, index: int) -> Sample:
        position = self._position(index)
        label = None if self.all_labels is None else int(self.all_labels[position])
        mask = None if self.all_masks is None else self.mask(index)
        return Sample(load_image(self.images[position]), label, self.sample_name(index), mask)

    def mask_name(self, index: int) -> str:
        """The image's own."""
        return self.sample_name(index)

    def mask(self, index: int) -> Mask:
        """One mask, where there are any. Raises DataError if a value can be no class."""
        assert self.all_masks is not None  # noqa: S101 - nobody asks where there are none
        return classes_of(self.all_masks[self._position(index)], self.options, self.mask_name(index))

    def select(self, indices: Sequence[int]) -> ArrayDataset:
        positions = tuple(self._position(index) for index in indices)
        return replace(self, positions=positions)

    def digest(self) -> str:
        digest = hashlib.sha256(repr((self.images.shape[1:], self.all_labels is not None)).encode())
        if self.all_masks is not None:
            digest.update(repr((self.options, self.all_masks.dtype)).encode())
        for position in sorted(self._position(index) for index in range(len(self))):
            label = None if self.all_labels is None else int(self.all_labels[position])
            digest.update(f"{position}\0{label}\0".encode())
            digest.update(np.ascontiguousarray(self.images[position]).data)
            if self.all_masks is not None:
                digest.update(np.ascontiguousarray(self.all_masks[position]).data)
        return digest.hexdigest()

    def content_hashes(self) -> Iterator[str]:
        return loaded_hashes(self)


def array_dataset(source: str, name: str, images: NDArray[Any], labels: NDArray[Any] | None) -> ArrayDataset:
    """Check arrays and make a dataset of them.

    Args:
        source: What to name in an error.
        name: The dataset's name.
        images: uint8 [N, H, W] or [N, H, W, C], C of 1, 3 or 4.
        labels: Integers [N] or [N, 1], or None.

    Raises:
        DataError: Another shape or dtype, no images, or a label count that differs.
    """
    _check_images(source, images.shape, images.dtype)
    if labels is None:
        return ArrayDataset(name, images)
    if labels.dtype.kind not in "iu" or labels.shape not in ((len(images),), (len(images), 1)):
        raise DataError(
            f"{source}: labels of shape {labels.shape} and dtype {labels.dtype} do not fit {len(images)} images", _FORM
        )
    return ArrayDataset(name, images, labels.reshape(-1).astype(np.int64))


def _check_images(source: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype != np.uint8:
        raise DataError(f"{source}: images have dtype {dtype}, not uint8", _FORM)
    channels_last = len(shape) == 4 and shape[3] in (1, 3, 4)
    # [H, W, 3] is one image, not H grey images three pixels wide.
    grey = len(shape) == 3 and shape[2] > 4
    if not (channels_last or grey) or min(shape) < 1:
        raise DataError(f"{source}: images have shape {shape}, neither [N, H, W] nor [N, H, W, C]", _FORM)


def open_npz(path: Path, max_bytes: int = MAX_BYTES, options: MaskOptions = MASKS) -> ArrayDataset:
    """Read images, labels and masks from an ``.npz``; nothing in it is unpickled.

    Images are under ``images``, ``x``, ``x_test`` or another usual name, or the only uint8 array with three or four
    dimensions; labels under ``labels``, ``y``, ``y_test`` and the like, masks under ``masks``. The notes name arrays
    that are left aside. Sizes are checked in the headers before anything is read.

    Args:
        path: The file.
        max_bytes: Refuse arrays that are larger in memory.
        options: What the masks' values mean.

    Raises:
        DataError: The file is damaged or too large, or its arrays are none of the above.
    """
    try:
        with opened(path, _MAX_MEMBERS) as archive:
            headers = archive.headers
            image_key = _image_key(path, headers)
            others = {key.casefold(): key for key in headers if key != image_key}
            label_key, mask_key = _label_key(image_key, others), next(filter(None, map(others.get, _MASK_KEYS)), None)
            _check_images(f"{path}: {image_key}", headers[image_key].shape, headers[image_key].dtype)
            if mask_key is not None:
                _check_masks(f"{path}: {mask_key}", headers[mask_key], headers[image_key].shape)
            images = archive.read(image_key, max_bytes)
            labels = None if label_key is None else archive.read(label_key, max_bytes)
            masks = None if mask_key is None else archive.read(mask_key, max_bytes)
    except ArchiveError as error:
        raise DataError(f"{path}: cannot be read: {error}", _FORM) from error
    aside = {key: header for key, header in headers.items() if key not in {image_key, label_key, mask_key}}
    taken = [f"{what} from {key!r}" for what, key in (("labels", label_key), ("masks", mask_key)) if key is not None]
    said = ", ".join((f"images from {image_key!r}", *(taken or ["no labels"])))
    notes = (f"{path.name}: {said}; left aside: {_found(aside)}",) if aside else ()
    dataset = array_dataset(str(path), path.stem, images, labels)
    return replace(dataset, notes=notes, all_masks=masks, options=options)


def _check_masks(source: str, masks: Header, images: tuple[int, ...]) -> None:
    if masks.shape != images[:3] or masks.dtype.kind not in "iub":
        raise DataError(f"{source}: masks {masks} do not fit images of shape {images}", _FORM)


def _image_key(path: Path, headers: Mapping[str, Header]) -> str:
    named = {key.casefold(): key for key in headers}
    candidates = [key for key, head in headers.items() if head.dtype == np.uint8 and len(head.shape) in (3, 4)]
    known = [named[name] for name in _KEYS if name in named]
    # A usual name counts most where what stands there can be images.
    key = next((key for key in known if key in candidates), None) or next(iter(known), None)
    if key is None and len(candidates) == 1:
        return candidates[0]
    if key is None:
        raise DataError(f"{path}: which array holds the images is not clear; found {_found(headers)}", _FORM)
    return key


def _label_key(image_key: str, named: Mapping[str, str]) -> str | None:
    wanted = (_KEYS.get(image_key.casefold(), "labels"), *_LABEL_KEYS)
    return next((named[name] for name in wanted if name in named), None)


def _found(headers: Mapping[str, Header]) -> str:
    shown = [f"{key[:80]!r} {header}" for key, header in list(headers.items())[:SHOWN]]
    return ", ".join(shown + ["..."] * (len(headers) > SHOWN)) or "no arrays"
