"""The C++ project's decoding and preprocessing against Python's, on every kind of image that both read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmformer.preprocessing import Preprocessing, load_image, preprocess
from tests.embedding.cpp_programs import Driver, line_of, needs_compiler
from tests.embedding.pictures import damaged, large_cases, save_jpegs, save_pngs, small_cases

pytestmark = needs_compiler
MIB = 1 << 20


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Driver:
    return Driver.compile(tmp_path_factory.mktemp("driver"))


def test_preprocessing_is_python_s_to_the_last_bit(driver: Driver) -> None:
    cases = small_cases()
    for (image, spec), found in zip(cases, driver.tensors(cases), strict=True):
        assert np.array_equal(found, preprocess(image, spec)), (image.shape, spec)


def test_large_and_elongated_images_too(driver: Driver) -> None:
    cases = large_cases()
    for (image, spec), found in zip(cases, driver.tensors(cases), strict=True):
        assert np.array_equal(found, preprocess(image, spec)), (image.shape, spec.interpolation)


def test_png_pixels_are_python_s(driver: Driver, tmp_path: Path) -> None:
    paths = save_pngs(tmp_path)
    for path, found in zip(paths, driver.decode(paths), strict=True):
        assert np.array_equal(found, load_image(path)), path.name


def test_jpeg_pixels_are_python_s(driver: Driver, tmp_path: Path) -> None:
    paths = save_jpegs(tmp_path)
    for path, found in zip(paths, driver.decode(paths), strict=True):
        expected = load_image(path)
        assert isinstance(found, np.ndarray), found
        assert found.shape == expected.shape, path.name
        # Pillow brings its own release of libjpeg-turbo; the system's may round a pixel otherwise, never by more.
        assert np.abs(found.astype(int) - expected).max() <= 1, path.name


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
