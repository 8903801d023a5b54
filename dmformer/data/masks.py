"""Masks: the class of every pixel as files and arrays hold it, read into what `dmformer.data.dataset.Sample` has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmformer.common_options import MaskOptions
from dmformer.data.dataset import IGNORED
from dmformer.data.images import read_picture, sixteen_bit_colours, turn_of, turned
from dmformer.errors import DataError
from dmformer.fields import Palette

Mask = NDArray[np.int16]
"""The class of every pixel, ``[H, W]``."""

_LOSSY = frozenset({"JPEG", "MPO", "WEBP", "AVIF"})
_TURNS = frozenset(
    {Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90}
)
"""Those that swap height and width."""
_HINT = "Give a PNG whose values are the classes: grey of 8 or 16 bits, or with a palette."
_LARGEST = int(np.iinfo(np.int16).max)


def read_mask(path: Path, options: MaskOptions) -> Mask:
    """Read a mask's file: the values of grey pictures, of a palette the indices, not the colours.

    Grey that is stored as three equal channels is read too. The file's own EXIF orientation is applied.

    Raises:
        DataError: Unreadable, too large, or values that are no classes: colours, fractions, lossy compression.
    """
    return classes_of(read_picture(path, _values), options, str(path))


def read_palette(path: Path) -> Palette | None:
    """The colours of a picture with a palette; None where it has none, or cannot be read."""
    try:
        flat = read_picture(path, lambda image, _: image.getpalette("RGB") if image.mode == "P" else None)
    except DataError:
        return None
    return tuple(zip(flat[::3], flat[1::3], flat[2::3], strict=True)) if flat else None


def classes_of(values: NDArray[Any], options: MaskOptions, name: str) -> Mask:
    """Stored values as classes.

    Args:
        values: Integers ``[H, W]``; `IGNORED` itself is taken too.
        options: Which of them mean that nobody knows.
        name: What to name in an error.

    Raises:
        DataError: A value is below `IGNORED`, or beyond 16 bits.
    """
    unknown = (values == options.ignore_index) | (values == IGNORED)
    if options.reduce_zero_label:
        unknown |= values == 0
    known = values[~unknown]
    for value in (int(known.min(initial=0)), int(known.max(initial=0))):
        if not 0 <= value <= _LARGEST:
            raise DataError(f"{name}: holds the value {value}, which can be no class", _HINT)
    first = int(options.reduce_zero_label)
    return np.where(unknown, IGNORED, values.astype(np.int64) - first).astype(np.int16)


def drawn_on_stored(mask: Mask, picture: Path) -> Mask:
    """A mask that was drawn on a picture's stored pixels, turned as the picture's EXIF orientation turns those.

    Only where height and width tell: a mask of the upright picture's size is taken to be drawn on that.
    """
    turn = read_picture(picture, lambda image, _: turn_of(image))
    if turn not in _TURNS:
        return mask
    return np.asarray(turned(Image.fromarray(mask.astype(np.int32)), turn)).astype(np.int16)


def _values(image: Image.Image, name: str) -> NDArray[Any]:
    if image.format in _LOSSY:
        raise DataError(f"{name}: is a mask as {image.format}, whose compression changes values", _HINT)
    if sixteen_bit_colours(image):
        raise _colours(name)
    upright = turned(image, turn_of(image))
    if upright.mode in ("CMYK", "YCbCr", "LAB", "HSV", "F"):
        raise _colours(name) if upright.mode != "F" else DataError(f"{name}: values are fractions", _HINT)
    values = np.asarray(upright)
    if values.ndim == 2:
        return values.astype(np.uint8) if values.dtype == bool else values
    if upright.mode.startswith("RGB") and not (values[..., :3] == values[..., :1]).all():
        raise _colours(name)
    return values[..., 0]


def _colours(name: str) -> DataError:
    return DataError(f"{name}: is a mask in colours without a palette: which class they mean is not known", _HINT)
