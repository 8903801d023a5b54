"""Image files of every mode, format, compression and orientation, by path and as bytes, against an upright copy."""

from __future__ import annotations

import importlib.util
import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

import dmformer
from dmformer.data.images import EXTENSIONS
from dmformer.errors import DataError
from dmformer.preprocessing import load_image

Turn = Image.Transpose
STORED = {
    1: None,
    2: Turn.FLIP_LEFT_RIGHT,
    3: Turn.ROTATE_180,
    4: Turn.FLIP_TOP_BOTTOM,
    5: Turn.TRANSPOSE,
    6: Turn.ROTATE_90,
    7: Turn.TRANSVERSE,
    8: Turn.ROTATE_270,
}
"""Orientation -> how the upright picture lies in the file."""

TIFF_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16")
TIFF = [(mode, {"compression": kind}) for mode in TIFF_MODES for kind in ("raw", "tiff_lzw", "tiff_deflate")]
LOSSLESS = [
    *(("TIFF", mode, options) for mode, options in TIFF),
    ("TIFF", "1", {"compression": "group4"}),
    ("TIFF", "YCbCr", {"compression": "raw"}),
    ("TIFF", "RGB", {"compression": "packbits"}),
    *(("PNG", mode, {"compress_level": 9}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    ("WEBP", "RGB", {"lossless": True}),
]
LOSSY = [
    *(("JPEG", mode, {"quality": 100, "progressive": late}) for mode in ("L", "RGB", "CMYK") for late in (False, True)),
    ("MPO", "RGB", {"quality": 100}),
    ("WEBP", "RGB", {"quality": 100}),
    *([("AVIF", "RGB", {"quality": 95})] if features.check("avif") else []),
]
PLAIN = [("BMP", "1"), ("BMP", "P"), ("BMP", "RGB"), ("GIF", "P"), ("PPM", "1"), ("PPM", "L"), ("PPM", "RGB")]
ONE_VALUE = {3: "H", 4: "L", 6: "b", 8: "h", 9: "l", 11: "f"}


def picture(mode: str, height: int = 24, width: int = 33) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width]
    if mode == "I;16":
        return Image.fromarray((rows * 2000 + columns * 500).astype(np.uint16))
    colours = np.stack([rows * 10, columns * 7, (rows + columns) * 4], axis=2).astype(np.uint8)
    return Image.fromarray(colours).convert(mode)


def stored(image: Image.Image, orientation: int, form: str, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turn = STORED[orientation]
    file = BytesIO()
    (image if turn is None else image.transpose(turn)).save(file, form, **({"exif": exif} | options))
    return file.getvalue()


def in_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode == "I;16":
        image = Image.fromarray(((np.asarray(image).astype(int) + 128) // 257).astype(np.uint8))
    return np.asarray(image.convert("RGB"))


def embedded_loader() -> Callable[[Path], NDArray[np.uint8]]:
    """What an embedded Python project reads images with."""
    path = Path(dmformer.__file__).parent / "embedding/templates/python/common/images.py"
    spec = importlib.util.spec_from_file_location("embedded_images", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loader: Callable[[Path], NDArray[np.uint8]] = module.load_image
    return loader


EMBEDDED = embedded_loader()


def readings(path: Path, content: bytes) -> Iterator[NDArray[np.uint8]]:
    path.write_bytes(content)
    yield load_image(path)
    yield load_image(content)
    if ".avif" not in path.name:  # Other languages' projects do not read it either.
        yield EMBEDDED(path)


@pytest.mark.parametrize(("form", "mode", "options"), LOSSLESS)
def test_lossless_files_are_the_upright_copy(tmp_path: Path, form: str, mode: str, options: dict[str, Any]) -> None:
    upright = picture(mode)
    for orientation in STORED:
        for found in readings(tmp_path / "a", stored(upright, orientation, form, **options)):
            assert np.array_equal(found, in_rgb(upright)), orientation


@pytest.mark.parametrize(("form", "mode", "options"), LOSSY)
def test_lossy_files_are_nearly_the_upright_copy(tmp_path: Path, form: str, mode: str, options: dict[str, Any]) -> None:
    upright = picture(mode)
    for orientation in STORED:
        for found in readings(tmp_path / f"a.{form.lower()}", stored(upright, orientation, form, **options)):
            assert found.shape == in_rgb(upright).shape
            assert np.abs(found.astype(int) - in_rgb(upright)).mean() < 6, orientation


@pytest.mark.parametrize(("form", "mode"), PLAIN)
def test_formats_without_exif(tmp_path: Path, form: str, mode: str) -> None:
    file = BytesIO()
    picture(mode).save(file, form)
    for found in readings(tmp_path / "a", file.getvalue()):
        assert np.array_equal(found, in_rgb(picture(mode)))


def odd_exif(generator: np.random.Generator, orientation: int) -> bytes:
    """EXIF with the orientation among tags of kinds that the standard does not give them."""
    tags = {0x0112: struct.pack("<HHLHH", 0x0112, 3, 1, orientation, 0)}
    for tag in generator.choice([0x010E, 0x010F, 0x011A, 0x011B, 0x0128, 0x0132, 0x8769, 0x8825, 0x9C9B], 4):
        kind, count = int(generator.integers(0, 16)), int(generator.choice([0, 1, 3, 10**6]))
        value = generator.bytes(4)
        if kind in ONE_VALUE:
            value = struct.pack(f"<{ONE_VALUE[kind]}", -3 if kind in {6, 8, 9, 11} else 3).ljust(4, b"\0")
        tags[int(tag)] = struct.pack("<HHL", int(tag), kind, count) + value
    entries = b"".join(tags[tag] for tag in sorted(tags))
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_other_tags_of_exif_never_matter(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(150):
        orientation = number % 8 + 1
        expected = load_image(stored(picture("RGB"), orientation, "JPEG"))
        content = stored(picture("RGB"), orientation, "JPEG", exif=odd_exif(generator, orientation))
        for found in readings(tmp_path / "a", content):
            assert np.array_equal(found, expected), orientation


def test_exif_that_is_none_leaves_the_pixels(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    expected = load_image(stored(picture("RGB"), 1, "PNG"))
    for head in (b"", b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"):
        file = BytesIO()
        picture("RGB").save(file, "PNG", exif=head + generator.bytes(3))
        for found in readings(tmp_path / "a", file.getvalue()):
            assert np.array_equal(found, expected)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_eight_bits_in_a_file_of_sixteen_are_not_black(tmp_path: Path, form: str) -> None:
    values = np.asarray(picture("L"))
    file = BytesIO()
    Image.fromarray(values.astype(np.uint16)).save(file, form)
    for found in readings(tmp_path / "a", file.getvalue()):
        assert np.array_equal(found, np.repeat(values[:, :, np.newaxis], 3, axis=2))


def with_chunk(png: bytes, kind: bytes, data: bytes, check: int = 0) -> bytes:
    """A PNG with one more chunk after its header; ``check`` damages that chunk's checksum."""
    body = kind + data
    chunk = struct.pack(">L", len(data)) + body + struct.pack(">L", zlib.crc32(body) ^ check)
    return png[:33] + chunk + png[33:]


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"tEXt", b"iCCP", b"gAMA", b"prVt"])
def test_what_a_png_says_beside_its_pixels_never_matters(tmp_path: Path, kind: bytes) -> None:
    content = stored(picture("RGB"), 6, "PNG")
    large = zlib.compress(bytes(3 << 20))
    for data in (b"", b"\0", b"a\0\0" + large, b"a\0\1\0\0\0" + large, b"a\0" + b"x" * (3 << 20), bytes(4)):
        for check in (0, 1):
            for found in readings(tmp_path / "a", with_chunk(content, kind, data, check)):
                assert np.array_equal(found, in_rgb(picture("RGB")))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_colours_of_eight_bits_in_sixteen_are_refused_not_black(tmp_path: Path, form: str, mode: str) -> None:
    values = np.asarray(picture(mode)).astype(np.uint16)
    write = png_of_sixteen if form == "PNG" else tiff_of_sixteen
    for found in readings(tmp_path / "a", write(values * 257)):
        assert np.array_equal(found, values[:, :, :3])
    (tmp_path / "dark").write_bytes(write(values))
    with pytest.raises(DataError, match="16 bits per channel"):
        load_image(tmp_path / "dark")
    with pytest.raises(ValueError, match="16 bits per channel"):
        EMBEDDED(tmp_path / "dark")


def png_of_sixteen(values: NDArray[np.uint16]) -> bytes:
    height, width, channels = values.shape
    header = struct.pack(">LLBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        content += struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))
    return content


def tiff_of_sixteen(values: NDArray[np.uint16]) -> bytes:
    height, width, channels = values.shape
    data = values.astype("<u2").tobytes()
    bits = struct.pack(f"<{channels}H", *[16] * channels)
    # Width, height, bits, compression, RGB, where the rows are, channels, rows, bytes, what the fourth channel is.
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, 8), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, 8 + len(bits)), (277, 3, 1, channels), (278, 4, 1, height), (279, 4, 1, len(data))]
    tags += [(338, 3, 1, 2)] if channels == 4 else []
    head = b"II*\0" + struct.pack("<L", 8 + len(bits) + len(data)) + bits + data
    return head + struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHLL", *tag) for tag in tags) + bytes(4)


def test_every_ending_that_counts_as_an_image_is_read(tmp_path: Path) -> None:
    for ending in sorted(EXTENSIONS):
        path = tmp_path / f"a{ending}"
        picture("RGB").save(path, format="JPEG" if ending in {".jif", ".jpe"} else None)
        assert load_image(path).shape == (24, 33, 3), ending
