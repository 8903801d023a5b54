"""From pixels to what the engine takes, by the parameters in parameters.py. NumPy and Pillow only."""

from __future__ import annotations

import numpy as np
from PIL import Image

from parameters import CHANNEL_ORDER, FILL, INPUT_DTYPE, INTERPOLATION, MEAN, RESIZE, SHORTER_SIDE, SIZE, STD

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
MAX_RESIZED_PIXELS = 2**27


def preprocess(pixels: np.ndarray) -> np.ndarray:
    """Turns uint8 [H, W], [H, W, 1], [H, W, 3] (RGB) or [H, W, 4] (alpha is dropped) into float32 [C, H, W].

    Where INPUT_DTYPE is uint8, normalizing is the engine's part, and the result is uint8 [H, W, C].

    Raises:
        ValueError: Another dtype or number of channels, or an image so elongated that resizing it needs all memory.
    """
    fitted = np.asarray(fit(to_pillow(pixels)))
    fitted = fitted[:, :, np.newaxis] if fitted.ndim == 2 else fitted
    if CHANNEL_ORDER == "bgr":
        fitted = fitted[:, :, ::-1]
    if INPUT_DTYPE == "uint8":
        return np.ascontiguousarray(fitted)
    channels = fitted.transpose(2, 0, 1)
    mean = np.asarray(MEAN, np.float32).reshape(-1, 1, 1)
    std = np.asarray(STD, np.float32).reshape(-1, 1, 1)
    return np.ascontiguousarray((channels / np.float32(255) - mean) / std, dtype=np.float32)


def to_pillow(pixels: np.ndarray) -> Image.Image:
    pixels = pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or pixels.size == 0:
        raise ValueError(f"an image is uint8 with 1, 3 or 4 channels, not {pixels.dtype} {pixels.shape}")
    if pixels.shape[2] == 1:
        image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0]))
    else:
        image = Image.fromarray(np.ascontiguousarray(pixels[:, :, :3]))
    return image.convert("L" if CHANNEL_ORDER == "grey" else "RGB")


def fit(image: Image.Image) -> Image.Image:
    if RESIZE == "shorter":
        return shorter_then_crop(image)
    if RESIZE == "letterbox":
        return letterbox(image)
    height, width = SIZE
    return resize(image, width, height)


def shorter_then_crop(image: Image.Image) -> Image.Image:
    # The longer side is truncated, not rounded, as in torchvision.
    width = SHORTER_SIDE if image.width <= image.height else int(SHORTER_SIDE * image.width / image.height)
    height = SHORTER_SIDE if image.height <= image.width else int(SHORTER_SIDE * image.height / image.width)
    top, left = round((height - SIZE[0]) / 2.0), round((width - SIZE[1]) / 2.0)
    return resize(image, width, height).crop((left, top, left + SIZE[1], top + SIZE[0]))


def letterbox(image: Image.Image) -> Image.Image:
    height, width = SIZE
    scale = min(height / image.height, width / image.width)
    inner_width = min(width, max(1, round(image.width * scale)))
    inner_height = min(height, max(1, round(image.height * scale)))
    canvas = Image.new(image.mode, (width, height), (FILL,) * len(image.getbands()))
    inner = resize(image, inner_width, inner_height)
    canvas.paste(inner, ((width - inner_width) // 2, (height - inner_height) // 2))
    return canvas


def resize(image: Image.Image, width: int, height: int) -> Image.Image:
    if (image.width, image.height) == (width, height):
        return image
    if width * max(height, image.height) > MAX_RESIZED_PIXELS:
        raise ValueError(f"{image.width}x{image.height} pixels are too elongated to be resized to {width}x{height}")
    return image.resize((width, height), FILTERS[INTERPOLATION])
