"""`load_image` on real files of every kind, whole and broken."""

from __future__ import annotations

import os
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dmformer.errors import DataError
from dmformer.preprocessing import load_image


def gradient(height: int = 24, width: int = 32) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 10, columns * 7, (rows + columns) * 4], axis=2).astype(np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm"])
def test_lossless_files_come_back_exactly(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(gradient()).save(path)
    assert np.array_equal(load_image(path), gradient())
    assert np.array_equal(load_image(str(path)), gradient())
    assert np.array_equal(load_image(path.read_bytes()), gradient())


@pytest.mark.parametrize("suffix", ["jpg", "webp", "gif"])
def test_lossy_files_come_back_nearly(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(gradient()).save(path)
    pixels = load_image(path)
    assert pixels.shape == (24, 32, 3)
    assert np.abs(pixels.astype(int) - gradient()).mean() < 12


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    path = tmp_path / "rotated.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by 90 degrees
    Image.fromarray(gradient()).save(path, exif=exif, quality=100)
    expected = np.rot90(gradient(), -1)
    assert load_image(path).shape == expected.shape
    assert np.abs(load_image(path).astype(int) - expected).mean() < 5


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb_as_pillow_converts(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(gradient()).convert(mode)
    path = tmp_path / ("image.tif" if mode in ("CMYK", "YCbCr") else "image.png")
    image.save(path)
    assert np.array_equal(load_image(path), np.asarray(image.convert("RGB")))
    assert np.array_equal(load_image(image), np.asarray(image.convert("RGB")))


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "cmyk.jpg"
    Image.fromarray(gradient()).convert("CMYK").save(path, quality=100)
    assert np.abs(load_image(path).astype(int) - gradient()).mean() < 5


def test_a_phone_picture_with_a_second_frame(tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    image = Image.fromarray(gradient())
    image.save(path, "MPO", save_all=True, append_images=[image], quality=100)
    assert np.abs(load_image(path).astype(int) - gradient()).mean() < 5


def test_alpha_is_dropped_not_blended(tmp_path: Path) -> None:
    transparent = np.dstack([gradient(), np.zeros((24, 32), np.uint8)])
    Image.fromarray(transparent).save(tmp_path / "a.png")
    assert np.array_equal(load_image(tmp_path / "a.png"), gradient())


def test_palette_with_transparency_bytes_does_not_warn(tmp_path: Path) -> None:
    Image.fromarray(gradient()).convert("P").save(tmp_path / "a.png", transparency=bytes(range(256)))
    assert load_image(tmp_path / "a.png").shape == (24, 32, 3)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 257, 32768], [40000, 65534, 65535]], dtype=np.uint16)
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray(values).save(path)
    expected = np.round(values / 257).astype(np.uint8)
    assert np.array_equal(load_image(path), np.repeat(expected[:, :, None], 3, axis=2))


def test_mode_i_is_scaled_and_beyond_sixteen_bits_refused() -> None:
    assert load_image(Image.fromarray(np.full((2, 2), 65535, np.int32))).min() == 255
    for value in (-1, 65536):
        with pytest.raises(DataError, match="16 bits"):
            load_image(Image.fromarray(np.full((2, 2), value, np.int32)))


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "float.tif"
    Image.fromarray(np.ones((2, 2), np.float32)).save(path)
    with pytest.raises(DataError, match="floating point"):
        load_image(path)


def huge_png(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


def jpeg_bytes() -> bytes:
    buffer = BytesIO()
    Image.fromarray(gradient(200, 200)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"this is a text file",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
        jpeg_bytes()[: len(jpeg_bytes()) // 2],
        huge_png(10_000, 10_000),
        huge_png(2**31 - 1, 2**31 - 1),
        huge_png(0, 5),
    ],
    ids=["empty", "text", "postscript", "truncated", "large", "enormous", "flat"],
)
def test_a_bad_file_is_named_with_a_hint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.jpg") as caught:
        load_image(path)
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_missing_directory_and_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("missing.jpg", "", "pipe.jpg"):
        with pytest.raises(DataError):
            load_image(tmp_path / name)


def test_more_pixels_than_the_limit(tmp_path: Path) -> None:
    Image.fromarray(gradient()).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png", max_pixels=24 * 32).shape == (24, 32, 3)
    for source in (tmp_path / "a.png", gradient(), Image.fromarray(gradient())):
        with pytest.raises(DataError, match="limit"):
            load_image(source, max_pixels=24 * 32 - 1)


def test_arrays() -> None:
    image = gradient()
    assert np.array_equal(load_image(image), image)
    assert np.array_equal(load_image(image[:, :, 0]), np.repeat(image[:, :, :1], 3, axis=2))
    assert np.array_equal(load_image(image[:, :, :1]), np.repeat(image[:, :, :1], 3, axis=2))
    assert np.array_equal(load_image(np.dstack([image, image[:, :, 0]])), image)


@pytest.mark.parametrize("array", [np.zeros((2, 2, 3)), np.zeros((2,), np.uint8), np.zeros((2, 2, 5), np.uint8)])
def test_other_arrays_are_refused(array: NDArray[Any]) -> None:
    with pytest.raises(DataError) as caught:
        load_image(array)
    assert caught.value.hint


def test_damaged_bytes_never_give_another_error() -> None:
    rng = np.random.default_rng(0)
    buffers = []
    for form in ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM"):
        buffer = BytesIO()
        Image.fromarray(gradient()).save(buffer, form)
        buffers.append(buffer.getvalue())
    for content in buffers * 30:
        damaged = bytearray(content)
        for position in rng.integers(0, min(len(damaged), 200), 4):
            damaged[position] = rng.integers(0, 256)
        try:
            assert load_image(bytes(damaged)).dtype == np.uint8
        except DataError as error:
            assert error.hint
