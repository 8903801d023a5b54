"""Image files as uint8 pixels. Files are taken to be hostile: what is too large is refused before it is decoded."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

MAX_PIXELS = 64_000_000
# A closed list, because Pillow would hand a PostScript file, whatever its name, to an interpreter.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM")


class ImageError(ValueError):
    """A file that is no image, is damaged or too large: one line that names it."""


def load_image(path: str | Path) -> np.ndarray:
    """Reads an image, upright (EXIF) and in RGB: uint8 [H, W, 3]. An alpha channel is dropped, not blended.

    Raises:
        ImageError: It cannot be read.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns about odd metadata, which does not concern the pixels, and about size, which is checked here.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ImageError(f"{image.width}x{image.height} pixels are more than the limit of {MAX_PIXELS}")
                return to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # a damaged file lets any exception out of Pillow's decoders
        raise ImageError(f"{path}: {' '.join(str(error).split()) or type(error).__name__}") from error


def to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        # 16-bit grey becomes 8-bit by division, not by clipping; half of 257 rounds to the nearest.
        image = Image.fromarray(((np.asarray(image).astype(np.int32) + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        raise ImageError("pixels are floating point numbers")
    return np.array(image.convert("RGB"), dtype=np.uint8)
