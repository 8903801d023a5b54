"""The C++ project's decoding and preprocessing against Python's, on every kind of image that both read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dmformer.preprocessing import Preprocessing, load_image, preprocess
from tests.embedding.cpp_programs import FILTERS, ORDERS, RESIZES, Driver, line_of, needs_compiler

pytestmark = needs_compiler
MIB = 1 << 20
Save = Callable[[Path], object]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Driver:
    return Driver.compile(tmp_path_factory.mktemp("driver"))


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


def test_preprocessing_is_python_s_to_the_last_bit(driver: Driver) -> None:
    generator = np.random.default_rng(7)
    cases = []
    for index in range(432):
        width, height = (int(side) for side in generator.integers(1, 150, 2))
        image = picture(width, height, (1, 3, 4)[index % 7 % 3], index)
        cases.append((image, spec_of(generator, index)))
    for (image, spec), found in zip(cases, driver.tensors(cases), strict=True):
        assert np.array_equal(found, preprocess(image, spec)), (image.shape, spec)


def test_large_and_elongated_images_too(driver: Driver) -> None:
    shapes = [(1, 3000), (3000, 1), (1999, 1501), (640, 481), (7, 2049)]
    images = [picture(width, height, seed=index) for index, (width, height) in enumerate(shapes)]
    specs = [Preprocessing(size=(24, 32), interpolation=name) for name in FILTERS]
    cases = [(image, spec) for image in images for spec in specs]
    for (image, spec), found in zip(cases, driver.tensors(cases), strict=True):
        assert np.array_equal(found, preprocess(image, spec)), (image.shape, spec.interpolation)


def raw_png(path: Path, depth: int, kind: int, samples: NDArray[np.integer]) -> None:
    """A PNG of a kind that Pillow does not write: 16 bits in colour, with alpha."""
    height, width = samples.shape[:2]
    rows = samples.astype(">u2" if depth == 16 else "u1").reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    )


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
        "colour-16": lambda path: raw_png(path, 16, 2, sixteen[:, :, :3]),
        "grey-alpha-16": lambda path: raw_png(path, 16, 4, sixteen[:, :, :2]),
        "alpha-16": lambda path: raw_png(path, 16, 6, sixteen),
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


def test_png_pixels_are_python_s(driver: Driver, tmp_path: Path) -> None:
    paths = save_pngs(tmp_path)
    for path, found in zip(paths, driver.decode(paths), strict=True):
        assert np.array_equal(found, load_image(path)), path.name


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


def test_jpeg_pixels_are_python_s(driver: Driver, tmp_path: Path) -> None:
    paths = save_jpegs(tmp_path)
    for path, found in zip(paths, driver.decode(paths), strict=True):
        expected = load_image(path)
        assert isinstance(found, np.ndarray), found
        assert found.shape == expected.shape, path.name
        # Pillow brings its own release of libjpeg-turbo; the system's may round a pixel otherwise, never by more.
        assert np.abs(found.astype(int) - expected).max() <= 1, path.name


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


def test_what_is_no_image_is_refused_by_name(driver: Driver, tmp_path: Path) -> None:
    cases = damaged(tmp_path)
    for (path, words), found in zip(cases.items(), driver.decode(list(cases)), strict=True):
        assert isinstance(found, str), path
        assert str(path) in found
        assert words in found


def test_a_hundred_megapixels_are_refused_before_they_are_decoded(driver: Driver, tmp_path: Path) -> None:
    paths = [tmp_path / "huge.png", tmp_path / "huge.jpg"]
    for path in paths:
        Image.new("L", (10_000, 10_000)).save(path)
    answers = driver.run([f"{path} 0 0 0 0 0 0 0 0 {tmp_path / 'out'}" for path in paths], memory=64 * MIB)
    for path, answer in zip(paths, answers, strict=True):
        assert answer == f"error: {path}: 10000x10000 pixels are more than the limit of 64000000"
    assert not (tmp_path / "out").exists()


def test_wrong_channels_and_impossible_shapes_are_refused(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(bytes(100_000))
    spec = line_of(Preprocessing(size=(2000, 2000)))
    answers = driver.run(
        [
            f"raw:10:10:2:{tmp_path / 'raw'} {spec} {tmp_path / 'out'}",
            f"raw:10:10:3:{tmp_path / 'raw'} {spec} {tmp_path / 'out'}",
            f"raw:1:100000:1:{tmp_path / 'raw'} {spec} {tmp_path / 'out'}",
        ],
        memory=512 * MIB,
    )
    assert "2 channels, not 1, 3 or 4" in answers[0]
    assert "100000 bytes, which is not 10x10x3" in answers[1]
    assert "too elongated" in answers[2]
