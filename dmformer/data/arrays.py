"""Images in one array: `ArrayDataset`, and reading it from an ``.npz`` file."""

from __future__ import annotations

import hashlib
import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.data.dataset import Sample, loaded_hashes
from dmformer.data.images import load_image
from dmformer.errors import DataError

MAX_BYTES = 2**31
"""Default limit of an array's size in memory."""

_MAX_MEMBERS = 64
_IMAGE_KEYS = ("images", "x", "x_test")
_LABEL_KEYS = ("labels", "y", "y_test")
_FORM = "Give an .npz with uint8 `images` [N, H, W] or [N, H, W, C] and, optionally, integer `labels` [N]."

# What zipfile, its decompressors and NumPy's header parser let out on a damaged file.
_READ_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
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
        notes: Nothing is left aside unsaid.
    """

    name: str
    images: NDArray[np.uint8]
    all_labels: NDArray[np.int64] | None = None
    positions: tuple[int, ...] | None = None
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> NDArray[np.int64] | None:
        if self.all_labels is None or self.positions is None:
            return self.all_labels
        return self.all_labels[list(self.positions)]

    @property
    def labelled(self) -> bool:
        return self.all_labels is not None

    def __len__(self) -> int:
        return len(self.images) if self.positions is None else len(self.positions)

    def _position(self, index: int) -> int:
        return range(len(self.images))[index] if self.positions is None else self.positions[index]

    def sample_name(self, index: int) -> str:
        return f"{self.name}[{self._position(index)}]"

    def load(self, index: int) -> Sample:
        position = self._position(index)
        label = None if self.all_labels is None else int(self.all_labels[position])
        return Sample(load_image(self.images[position]), label, self.sample_name(index))

    def select(self, indices: Sequence[int]) -> ArrayDataset:
        positions = tuple(self._position(index) for index in indices)
        return replace(self, positions=positions)

    def digest(self) -> str:
        digest = hashlib.sha256(repr((self.images.shape[1:], self.labelled)).encode())
        for position in sorted(self._position(index) for index in range(len(self))):
            label = None if self.all_labels is None else int(self.all_labels[position])
            digest.update(f"{position}\0{label}\0".encode())
            digest.update(np.ascontiguousarray(self.images[position]).data)
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


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def open_npz(path: Path, max_bytes: int = MAX_BYTES) -> ArrayDataset:
    """Read images and labels from an ``.npz``; nothing in it is unpickled.

    Images are under ``images``, ``x`` or ``x_test``, or the only uint8 array with three or four dimensions;
    labels under ``labels``, ``y`` or ``y_test``. Sizes are checked in the headers before anything is read.

    Args:
        path: The file.
        max_bytes: Refuse arrays that are larger in memory.

    Raises:
        DataError: The file is damaged or too large, or its arrays are none of the above.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            headers = _headers(archive)
            image_key = _image_key(path, headers)
            label_key = next((key for key in _LABEL_KEYS if key in headers), None)
            _check_images(f"{path}: {image_key}", headers[image_key].shape, headers[image_key].dtype)
            images = _read(path, archive, image_key, headers[image_key], max_bytes)
            labels = None if label_key is None else _read(path, archive, label_key, headers[label_key], max_bytes)
    except _READ_ERRORS as error:
        raise DataError(f"{path}: cannot be read: {' '.join(str(error).split()) or 'damaged'}", _FORM) from error
    return array_dataset(str(path), path.stem, images, labels)


def _headers(archive: zipfile.ZipFile) -> dict[str, _Header]:
    names = [name for name in archive.namelist() if name.endswith(".npy")]
    if len(names) > _MAX_MEMBERS:
        raise ValueError(f"{len(names)} arrays are more than {_MAX_MEMBERS}")
    return {name.removesuffix(".npy"): _header(archive, name) for name in names}


def _header(archive: zipfile.ZipFile, name: str) -> _Header:
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"{name} has .npy version {version}, which is not known")
    return _Header(shape, dtype)


def _image_key(path: Path, headers: Mapping[str, _Header]) -> str:
    for key in _IMAGE_KEYS:
        if key in headers:
            return key
    candidates = [key for key, head in headers.items() if head.dtype == np.uint8 and len(head.shape) in (3, 4)]
    if len(candidates) != 1:
        found = ", ".join(f"{key} {head.dtype}{list(head.shape)}" for key, head in headers.items()) or "no arrays"
        raise DataError(f"{path}: which array holds the images is not clear; found {found}", _FORM)
    return candidates[0]


def _read(path: Path, archive: zipfile.ZipFile, key: str, header: _Header, max_bytes: int) -> NDArray[Any]:
    if header.dtype.hasobject:
        raise DataError(f"{path}: {key} holds pickled Python objects, which are never loaded", _FORM)
    if min(header.shape, default=0) < 0 or header.nbytes > max_bytes:
        raise DataError(
            f"{path}: {key} declares {header.nbytes} bytes, and the limit is {max_bytes}",
            "Use fewer images, or a folder of image files, which is read one at a time.",
        )
    if header.nbytes > archive.getinfo(f"{key}.npy").file_size:
        raise DataError(f"{path}: {key} declares more data than the file holds", "The file is damaged: copy it again.")
    with archive.open(f"{key}.npy") as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array
