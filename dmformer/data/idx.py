"""IDX, the format of MNIST and Fashion-MNIST, plain or gzipped.

A file is a big-endian header (two zero bytes, a type byte, the number of dimensions, each dimension as uint32)
and the values. Only unsigned bytes (type 0x08) are taken; the rest must be exactly as long as the header says.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmformer.data.arrays import MAX_BYTES, ArrayDataset, array_dataset
from dmformer.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"
_UINT8 = 0x08
_CHUNK = 1 << 20
_HINT = "Give an IDX file of unsigned bytes as MNIST has them (train-images-idx3-ubyte, with or without .gz)."


def read_idx(path: Path, max_bytes: int = MAX_BYTES) -> NDArray[np.uint8]:
    """Read one IDX file.

    Args:
        path: The file; gzip is recognised by its content.
        max_bytes: Refuse files whose header declares more; never more than declared is decompressed.

    Returns:
        uint8 array with the 1 to 4 dimensions that the header declares, none of them 0.

    Raises:
        DataError: Unreadable, not IDX, too large, or longer or shorter than the header says.
    """
    try:
        with path.open("rb") as raw:
            compressed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if not compressed:
                return _parse(raw, path, max_bytes)
            with gzip.GzipFile(fileobj=raw) as file:
                return _parse(file, path, max_bytes)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise DataError(f"{path}: cannot be read: {error}", _HINT) from error


def _parse(file: BufferedIOBase, path: Path, max_bytes: int) -> NDArray[np.uint8]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != _UINT8 or not 1 <= magic[3] <= 4:
        raise DataError(f"{path}: not an IDX file of unsigned bytes (it begins with {magic.hex() or 'nothing'})", _HINT)
    shape: tuple[int, ...] = struct.unpack(f">{magic[3]}I", file.read(4 * magic[3]))
    declared = math.prod(shape)
    if not 1 <= declared <= max_bytes:
        raise DataError(f"{path}: declares {declared} values; 1 to {max_bytes} are possible", _HINT)
    values = _read_at_most(file, declared + 1)
    if len(values) != declared:
        more_or_less = "more" if len(values) > declared else "fewer"
        raise DataError(
            f"{path}: holds {more_or_less} than the {declared} values that its header declares",
            "The file is damaged or incomplete: copy it again.",
        )
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _read_at_most(file: BufferedIOBase, count: int) -> bytearray:
    values = bytearray()
    while len(values) < count and (chunk := file.read(min(_CHUNK, count - len(values)))):
        values += chunk
    return values


def is_images_name(name: str) -> bool:
    """Whether a file's name is that of an IDX image file, as in ``t10k-images-idx3-ubyte.gz``."""
    return not name.startswith(".") and "images" in name and "idx3" in name


def open_idx(path: Path, max_bytes: int = MAX_BYTES) -> ArrayDataset:
    """Open an IDX image file, with the label file beside it (``images-idx3`` read ``labels-idx1``) if there is one.

    Raises:
        DataError: As `read_idx`, or the file does not hold images, or the labels do not fit.
    """
    images = read_idx(path, max_bytes)
    if images.ndim < 3:
        raise DataError(f"{path}: holds {images.ndim}-dimensional values, not images", "Name the images file instead.")
    sibling = _labels_beside(path)
    labels = None if sibling is None else read_idx(sibling, max_bytes)
    return array_dataset(str(path), path.name, images, labels)


def _labels_beside(path: Path) -> Path | None:
    if not is_images_name(path.name):
        return None
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    other = name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"
    candidates = (path.with_name(name), path.with_name(other))
    return next((candidate for candidate in candidates if candidate.is_file()), None)
