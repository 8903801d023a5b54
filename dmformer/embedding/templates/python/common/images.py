"""Image files as uint8 pixels. Files are taken to be hostile: what is too large is refused before it is decoded."""

from __future__ import annotations

import struct
import warnings
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image

MAX_PIXELS = 64_000_000
MAX_PNG = 1 << 28
# A closed list, because Pillow would hand a PostScript file, whatever its name, to an interpreter.
FORMATS = ("JPEG", "PNG", "BMP", "DIB", "WEBP", "TIFF", "GIF", "PPM")
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """A file that is no image, is damaged or too large: one line that names it."""


def load_image(path: str | Path) -> np.ndarray:
    """Reads an image, upright (EXIF) and in RGB: uint8 [H, W, 3]. An alpha channel is dropped, not blended.

    Raises:
        ImageError: It cannot be read.
    """
    try:
        # Not the path: Pillow maps such a file into memory, and forgets to turn what it maps.
        with Path(path).open("rb") as file:
            try:
                return decoded(file)
            except Exception:  # a damaged file lets any exception out of Pillow's decoders
                again = pixels_only(file)
                if again is None:
                    raise
                return decoded(again)
    except Exception as error:
        raise ImageError(f"{path}: {' '.join(str(error).split()) or type(error).__name__}") from error


def decoded(file: IO[bytes]) -> np.ndarray:
    with warnings.catch_warnings():
        # Pillow warns about odd metadata, which does not concern the pixels, and about size, which is checked here.
        warnings.simplefilter("ignore")
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(f"{image.width}x{image.height} pixels are more than the limit of {MAX_PIXELS}")
            sixteen = any(";16" in str(tile[3]) for tile in image.tile) and not image.mode.startswith("I")
            pixels = to_rgb(turned_upright(image))
    if sixteen and not pixels.any():
        raise ImageError("of its 16 bits per channel the upper 8, which are read, are all black")
    return pixels


def pixels_only(file: IO[bytes]) -> BytesIO | None:
    """A PNG without its text, colour profile and other chunks, of which Pillow takes a megabyte at most."""
    file.seek(0)
    content = memoryview(file.read(MAX_PNG + 1))
    if len(content) > MAX_PNG or content[:8] != b"\x89PNG\r\n\x1a\n":
        return None
    kept, place = BytesIO(content[:8]), 8
    kept.seek(8)
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">L4s", content, place)
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"):
            kept.write(content[place : place + length + 12])
        place += length + 12
    kept.seek(0)
    return kept


def turned_upright(image: Image.Image) -> Image.Image:
    image.load()
    try:
        orientation = orientation_of(image.info.get("exif", b"")) or image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # the pixels are whole; what is said about them cannot be read
        return image
    turn = UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def orientation_of(exif: bytes) -> int | None:
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


def to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        # 16-bit grey becomes 8-bit by division, not by clipping; half of 257 rounds to the nearest. Values that need no
        # more than 8 bits are taken as they are: divided, the whole picture would be black.
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError("pixel values go beyond 16 bits")
        image = Image.fromarray((values if values.max() <= 255 else (values + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        raise ImageError("pixels are floating point numbers")
    return np.array(image.convert("RGB"), dtype=np.uint8)
