"""One image from anywhere, as uint8 pixels: `load_image`. Files are taken to be hostile."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from dmformer.data.png import pixels_only
from dmformer.errors import DataError, TooLargeError

T = TypeVar("T")
MAX_PIXELS = 64_000_000
"""Default limit of width times height; Pillow's own, near 179 million, holds beside it."""

_ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),  # MPO: the stereo and preview variant of phones
    "PNG": (".png", ".apng"),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),
}

# A closed list, because Pillow would hand a PostScript file, whatever its name, to an interpreter.
# Older versions of Pillow, and some builds of it, do not know AVIF and refuse the word.
_FORMATS = tuple(form for form in _ENDINGS if form != "AVIF" or find_spec("PIL._avif") is not None)

EXTENSIONS = frozenset(ending for form in _FORMATS for ending in _ENDINGS[form])
"""File name endings, in lower case, that count as an image in a folder."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientation -> what brings the image upright (Exif 2.32, tag 0x0112)."""

# Pillow's decoders let any of these out when a file is damaged.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    EOFError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

_HINT = "Give a readable JPEG, PNG, BMP, WebP, TIFF, GIF, PPM or AVIF image, or remove the file."
_EIGHT_BITS = "Save the image with 8 bits per channel."


def load_image(
    source: Path | str | bytes | Image.Image | NDArray[Any], max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Read one image as RGB pixels.

    The EXIF orientation is applied. Grey, palette, CMYK and 1-bit images are converted as Pillow's
    ``convert("RGB")`` does; an alpha channel is dropped, not blended, as training pipelines do. 16-bit
    grey is divided by 257, not clipped; where no value needs more than 8 bits, the values are taken as they are.
    Of an animation the first frame counts.

    Args:
        source: A path, the bytes of an image file, a Pillow image (left as it is), or a uint8 array of
            shape [H, W], [H, W, 1], [H, W, 3] (RGB) or [H, W, 4] (RGBA).
        max_pixels: Refuse images with more pixels; a file's header is looked at before it is decoded.

    Returns:
        uint8 array [H, W, 3], 0 to 255, RGB, contiguous. It can be ``source`` itself if that is such an array.

    Raises:
        TooLargeError: More pixels than allowed.
        DataError: Unreadable, truncated, no image, or an array of another dtype or shape.
    """
    if isinstance(source, np.ndarray):
        return _array_to_rgb(source, max_pixels)
    if isinstance(source, Image.Image):
        return _decoded(source, "the given image", max_pixels, _rgb)
    if isinstance(source, bytes):
        return _open(BytesIO(source), "the given image bytes", max_pixels, _rgb)
    return read_picture(Path(source), _rgb, max_pixels)


def read_picture(path: Path, decode: Callable[[Image.Image, str], T], max_pixels: int = MAX_PIXELS) -> T:
    """What ``decode`` makes of a picture's file, opened as Pillow has it, and the file's name; see `load_image`.

    Raises:
        TooLargeError: More pixels than allowed.
        DataError: Unreadable, truncated, or no image; whatever Pillow lets out of ``decode`` becomes one.
    """
    _check_regular(path)
    try:
        # Not the path: Pillow maps such a file into memory, and forgets to turn what it maps.
        with path.open("rb") as file:
            return _open(file, str(path), max_pixels, decode)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened: {_one_line(error)}", _HINT) from error


def _check_regular(path: Path) -> None:
    # Opening a named pipe would block for ever.
    try:
        if path.is_file():
            return
        problem = "not a regular file" if path.exists() else "no such file"
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be opened: {_one_line(error)}", _HINT) from error
    raise DataError(f"{path}: {problem}", _HINT)


def _open(file: IO[bytes], name: str, max_pixels: int, decode: Callable[[Image.Image, str], T]) -> T:
    try:
        return _opened(file, name, max_pixels, decode)
    except TooLargeError:
        raise
    except DataError:
        again = pixels_only(file)
        if again is None:
            raise
        return _opened(again, name, max_pixels, decode)


def _opened(file: IO[bytes], name: str, max_pixels: int, decode: Callable[[Image.Image, str], T]) -> T:
    try:
        with warnings.catch_warnings():
            # Pillow warns about size (checked in _decoded) and odd metadata; neither concerns the pixels.
            warnings.simplefilter("ignore")
            with Image.open(file, formats=_FORMATS) as image:
                return _decoded(image, name, max_pixels, decode)
    except _DECODE_ERRORS as error:
        reason = "not an image that can be read" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(f"{name}: cannot be read: {_one_line(reason)}", _HINT) from error


def _decoded(image: Image.Image, name: str, max_pixels: int, decode: Callable[[Image.Image, str], T]) -> T:
    _check_pixels(image.width, image.height, name, max_pixels)
    try:
        return decode(image, name)
    except _DECODE_ERRORS as error:
        raise DataError(f"{name}: cannot be decoded: {_one_line(error)}", _HINT) from error


def _rgb(image: Image.Image, name: str) -> NDArray[np.uint8]:
    sixteen = sixteen_bit_colours(image)
    upright = turned(image, turn_of(image))
    if upright.mode.startswith("I"):
        upright = _sixteen_to_eight_bit(upright, name)
    if upright.mode == "F":
        raise DataError(f"{name}: pixels are floating point numbers", _EIGHT_BITS)
    pixels = np.array(upright.convert("RGB"), dtype=np.uint8)
    if sixteen and not pixels.any():
        raise DataError(f"{name}: of its 16 bits per channel the upper 8, which are read, are all black", _EIGHT_BITS)
    return pixels


def sixteen_bit_colours(image: Image.Image) -> bool:
    """Whether the file has more than one channel of 16 bits: Pillow drops the lower 8 as it decodes."""
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())) and not image.mode.startswith("I")


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """What brings a picture upright, by its EXIF orientation. No other tag is looked at, none is ever written again."""
    image.load()  # A TIFF file is turned by Pillow as it is loaded, which removes the tag.
    try:
        orientation = _orientation(image.info.get("exif", b"")) or image.getexif().get(ExifTags.Base.Orientation)
    except _DECODE_ERRORS:
        return None  # The pixels are whole; what is said about them cannot be read.
    return _UPRIGHT.get(orientation) if isinstance(orientation, int) else None


def turned(image: Image.Image, turn: Image.Transpose | None) -> Image.Image:
    """The picture, turned where there is a turn."""
    return image if turn is None else image.transpose(turn)


def _orientation(exif: bytes) -> int | None:
    """The orientation where it stands as the standard wants it: Pillow stops at the first damaged tag before it."""
    body = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(body[:2])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}L", body, 4)
        (count,) = struct.unpack_from(f"{order}H", body, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, value = struct.unpack_from(f"{order}HH4xH", body, place)
            if (tag, kind) == (ExifTags.Base.Orientation, 3):
                return int(value)
    except struct.error:
        pass
    return None


def _sixteen_to_eight_bit(image: Image.Image, name: str) -> Image.Image:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise DataError(f"{name}: pixel values go beyond 16 bits", _EIGHT_BITS)
    if values.max() <= 255:
        # Values of 8 bits in a file of 16: divided, the whole picture would be black.
        return Image.fromarray(values.astype(np.uint8))
    # Adding half of 257 rounds to the nearest, without a copy in floating point.
    return Image.fromarray(((values.astype(np.int32) + 128) // 257).astype(np.uint8))


def _array_to_rgb(array: NDArray[Any], max_pixels: int) -> NDArray[np.uint8]:
    pixels = check_pixels_array(array)
    _check_pixels(pixels.shape[1], pixels.shape[0], "the given array", max_pixels)
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels[:, :, :3])


def check_pixels_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return ``array`` as [H, W, C] with C of 1, 3 or 4.

    Raises:
        DataError: The dtype is not uint8, or the shape is none of [H, W] and [H, W, 1 or 3 or 4], or it is empty.
    """
    if array.dtype != np.uint8:
        raise DataError(
            f"the given array has dtype {array.dtype}, not uint8",
            "Give the pixels as stored, uint8 from 0 to 255; scaling and normalization are done here.",
        )
    pixels = array[:, :, np.newaxis] if array.ndim == 2 else array
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or pixels.size == 0:
        raise DataError(
            f"the given array has shape {array.shape}, not that of one image",
            "Give [height, width] or [height, width, channels] with 1, 3 or 4 channels.",
        )
    return pixels


def _check_pixels(width: int, height: int, name: str, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise TooLargeError(
            f"{name}: {width}x{height} pixels are more than the limit of {max_pixels}",
            "Give a smaller version of the image; from Python, load_image and Classifier take another max_pixels.",
        )


def _one_line(reason: object) -> str:
    text = " ".join(str(reason).split())
    return text or type(reason).__name__
