"""Images of every kind, and preprocessing parameters, for what the projects read and resize like Python."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmformer.preprocessing import Preprocessing

RESIZES = ("exact", "shorter", "letterbox")
FILTERS = ("nearest", "bilinear", "bicubic", "lanczos")
ORDERS = ("rgb", "bgr", "grey")
Save = Callable[[Path], object]


def picture(width: int, height: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """Half noise, half smooth: the decoders' and resamplers' rounding is in both."""
    generator = np.random.default_rng(seed)
    noise = generator.integers(0, 256, (height, width, channels))
    y, x = np.mgrid[0:height, 0:width]
    smooth = (np.sin(x / 7 + np.arange(channels)[:, None, None]) * np.cos(y / 5) * 127 + 128).transpose(1, 2, 0)
    return np.where((x // 8 + y // 8)[:, :, None] % 2 == 0, noise, smooth).astype(np.uint8)


def spec_of(generator: np.random.Generator, index: int) -> Preprocessing:
    """The combinations of resize, filter and order one after the other; everything else by chance."""
    resize = RESIZES[index % 3]
    order = ORDERS[index // 3 % 3]
    channels = 1 if order == "grey" else 3
    size = tuple(int(side) for side in generator.integers(1, 70, 2))
    # The values came out of NumPy: plain ones are what a manifest would hold.
    return Preprocessing.model_validate(
        {
            "size": size,
            "resize": resize,
            "resize_to": int(max(size) + generator.integers(0, 30)) if resize == "shorter" and index % 2 else None,
            "interpolation": FILTERS[index // 9 % 4],
            "channel_order": order,
            "mean": generator.random(channels).tolist(),
            "std": (generator.random(channels) + 0.1).tolist(),
            "fill": int(generator.integers(0, 256)),
        }
    )


def small_cases() -> list[tuple[NDArray[np.uint8], Preprocessing]]:
    """432 images and parameters: every combination of resize, filter and order, twelve times."""
    generator = np.random.default_rng(7)
    cases = []
    for index in range(432):
        width, height = (int(side) for side in generator.integers(1, 150, 2))
        image = picture(width, height, (1, 3, 4)[index % 7 % 3], index)
        cases.append((image, spec_of(generator, index)))
    return cases


def large_cases() -> list[tuple[NDArray[np.uint8], Preprocessing]]:
    """Large and elongated images, each by every filter."""
    shapes = [(1, 3000), (3000, 1), (1999, 1501), (640, 481), (7, 2049)]
    images = [picture(width, height, seed=index) for index, (width, height) in enumerate(shapes)]
    specs = [Preprocessing(size=(24, 32), interpolation=name) for name in FILTERS]
    return [(image, spec) for image in images for spec in specs]


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of an interlaced PNG: where each pass begins and how far it steps, first across, then down."""


def raw_png(path: Path, depth: int, kind: int, samples: NDArray[np.integer], interlaced: bool = False) -> None:
    """A PNG of a kind that Pillow does not write: 16 bits in colour, with alpha, interlaced.

    Args:
        path: The file to make.
        depth: Bits of a sample.
        kind: Colour type by number.
        samples: [height, width, channels], each below 2 to the power of ``depth``.
        interlaced: By Adam7.
    """
    passes = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [samples]
    data = b"".join(b"\0" + row for part in passes if part.size for row in _rows(part, depth))
    height, width = samples.shape[:2]
    write_png(path, struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced), zlib.compress(data))


def _rows(samples: NDArray[np.integer], depth: int) -> list[bytes]:
    if depth >= 8:
        return [row.astype(">u2" if depth == 16 else "u1").tobytes() for row in samples]
    bits = samples.reshape(len(samples), -1, 1) >> np.arange(depth - 1, -1, -1) & 1
    return [np.packbits(row).tobytes() for row in bits]


def write_png(path: Path, header: bytes, data: bytes) -> None:
    """A PNG of a header and compressed data."""
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks))


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def save_pngs(folder: Path) -> list[Path]:
    colour = Image.fromarray(picture(37, 23))
    palette = colour.quantize(13)
    sixteen = np.random.default_rng(3).integers(0, 65536, (9, 11, 4))
    made: dict[str, Save] = {
        "one-bit": colour.convert("1").save,
        "grey": colour.convert("L").save,
        "grey-alpha": colour.convert("LA").save,
        "colour": colour.save,
        "alpha": Image.fromarray(picture(19, 31, 4)).save,
        "palette": palette.save,
        "palette-2-bits": partial(colour.quantize(4).save, bits=2),
        "palette-transparent": partial(palette.save, transparency=3),
        "grey-transparent": partial(colour.convert("L").save, transparency=7),
        "colour-transparent": partial(colour.save, transparency=(1, 2, 3)),
        "grey-16": lambda path: raw_png(path, 16, 0, sixteen[:, :, :1]),
        "grey-16-of-8": lambda path: raw_png(path, 16, 0, sixteen[:, :, :1] >> 8),
        "grey-16-of-9": lambda path: raw_png(path, 16, 0, sixteen[:, :, :1] >> 7),
        "grey-16-interlaced-of-8": lambda path: raw_png(path, 16, 0, sixteen[:, :, :1] >> 8, interlaced=True),
        "colour-16": lambda path: raw_png(path, 16, 2, sixteen[:, :, :3]),
        "grey-alpha-16": lambda path: raw_png(path, 16, 4, sixteen[:, :, :2]),
        "alpha-16": lambda path: raw_png(path, 16, 6, sixteen),
        "interlaced": lambda path: raw_png(path, 8, 2, picture(37, 23), interlaced=True),
        "interlaced-16": lambda path: raw_png(path, 16, 6, sixteen, interlaced=True),
        "interlaced-2-bits": lambda path: raw_png(path, 2, 0, picture(13, 11, 1) >> 6, interlaced=True),
        "interlaced-narrow": lambda path: raw_png(path, 8, 0, picture(1, 7, 1), interlaced=True),
        "grey-4-bits": lambda path: raw_png(path, 4, 0, picture(13, 11, 1) >> 4),
        "one-pixel": Image.fromarray(picture(1, 1)).save,
    }
    return write_all(folder, made | turned(colour), "png")


def turned(image: Image.Image) -> dict[str, Save]:
    """The image with each of EXIF's orientations."""
    made: dict[str, Save] = {}
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        made[f"turned-{orientation}"] = partial(image.save, exif=exif)
    return made


def write_all(folder: Path, made: dict[str, Save], ending: str) -> list[Path]:
    paths = [folder / f"{name}.{ending}" for name in made]
    for path, save in zip(paths, made.values(), strict=True):
        save(path)
    return paths


def save_jpegs(folder: Path) -> list[Path]:
    made: dict[str, Save] = {}
    for width, height in ((37, 23), (1, 1), (64, 48), (17, 200), (129, 5)):
        colour = Image.fromarray(picture(width, height))
        for name, sampling in (("444", 0), ("422", 1), ("420", 2)):
            made[f"{width}x{height}-{name}"] = partial(colour.save, subsampling=sampling, quality=80)
        made[f"{width}x{height}-grey"] = colour.convert("L").save
        made[f"{width}x{height}-progressive"] = partial(colour.save, progressive=True, quality=60)
        made[f"{width}x{height}-cmyk"] = colour.convert("CMYK").save
    colour = Image.fromarray(picture(37, 23))
    made |= turned(colour)
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    made["turned-by-xmp"] = partial(colour.save, xmp=xmp)
    return write_all(folder, made, "jpg")


def damaged(folder: Path) -> dict[Path, str]:
    """Files that are refused, and words of the reason."""
    for name in ("cut.png", "cut.jpg"):
        Image.fromarray(picture(90, 80)).save(folder / name)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("hello")
    (folder / "head.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    (folder / "head.jpg").write_bytes(b"\xff\xd8\xff\xe0 damaged")
    (folder / "folder").mkdir()
    return {
        folder / "cut.png": "truncated",
        folder / "cut.jpg": "truncated",
        folder / "empty.png": "is not a JPEG or PNG image",
        folder / "text.jpg": "is not a JPEG or PNG image",
        folder / "head.png": "cannot be read",
        folder / "head.jpg": "cannot be read",
        folder / "folder": "not a regular file",
        folder / "nowhere.png": "no such file",
    }
