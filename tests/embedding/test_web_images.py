"""The web project's decoding and preprocessing against Python's, in a real browser, on every kind of image."""

from __future__ import annotations

import base64
import json
import re
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dmformer.embedding.languages import TEMPLATES
from dmformer.embedding.web import preprocessing_values
from dmformer.preprocessing import Preprocessing, load_image, preprocess
from tests.embedding.browser import Browser, Page, served
from tests.embedding.pictures import damaged, large_cases, picture, save_jpegs, save_pngs, small_cases, write_png

Pixels = NDArray[np.uint8]
MIB = 1 << 20
TOOLS = """
globalThis.bytesOf = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
globalThis.base64 = (bytes) => {
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
};
"""
DECODE = """
(async () => {
  const { loadImage } = await import("./images.js");
  const found = [];
  for (const name of NAMES) {
    const blob = new Blob([await bytesOf(`given/${name}`)]);
    found.push(await loadImage(blob, name).then(
      ({ width, height, channels, data }) => ({ shape: [height, width, channels], data: base64(data) }),
      (error) => ({ error: error.message }),
    ));
  }
  return found;
})()
"""
PREPROCESS = """
(async () => {
  const { preprocess } = await import("./preprocessing.js");
  const { Pixels } = await import("./pixels.js");
  const all = await bytesOf("given/pixels");
  const cases = JSON.parse(new TextDecoder().decode(await bytesOf("given/cases.json")));
  return cases.map(({ at, shape: [height, width, channels], spec }) => {
    try {
      const data = all.subarray(at, at + height * width * channels);
      return { data: base64(new Uint8Array(preprocess(new Pixels(width, height, channels, data), spec).buffer)) };
    } catch (error) {
      return { error: error.message };
    }
  });
})()
"""


@dataclass(frozen=True)
class Driver:
    """The modules of the templates in a page; files in ``folder`` are what it is given."""

    browser: Browser
    page: Page
    folder: Path

    def decode(self, paths: list[Path]) -> list[Pixels | str]:
        """The pixels of each file, or the error."""
        for path in paths:
            shutil.copyfile(path, self.folder / path.name)
        answers = self.page.evaluate(DECODE.replace("NAMES", json.dumps([path.name for path in paths])))
        return [_value(answer, "u1", answer.get("shape")) for answer in answers]

    def tensors(self, cases: list[tuple[Pixels, Preprocessing]]) -> list[NDArray[np.float32] | str]:
        images = {id(image): image for image, _ in cases}
        starts = dict(zip(images, np.cumsum([0, *(image.size for image in images.values())]).tolist(), strict=False))
        (self.folder / "pixels").write_bytes(b"".join(image.tobytes() for image in images.values()))
        described = [
            {"at": starts[id(image)], "shape": image.shape, "spec": preprocessing_values(spec, "float32")}
            for image, spec in cases
        ]
        (self.folder / "cases.json").write_text(json.dumps(described))
        answers = self.page.evaluate(PREPROCESS)
        return [_value(answer, "<f4", spec.shape) for answer, (_, spec) in zip(answers, cases, strict=True)]


def _value(answer: dict[str, Any], dtype: str, shape: Any) -> Any:
    if "error" in answer:
        return answer["error"]
    return np.frombuffer(base64.b64decode(answer["data"]), dtype).reshape(shape)


@pytest.fixture(scope="module")
def driver(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    site = tmp_path_factory.mktemp("driver") / "site"
    shutil.copytree(TEMPLATES / "web" / "common" / "site", site)
    (site / "given").mkdir()
    (site / "empty.html").write_text("<!DOCTYPE html>")
    with served(site) as address, chromium.page(f"{address}empty.html") as page:
        page.evaluate(TOOLS)
        yield Driver(chromium, page, site / "given")


def test_preprocessing_is_python_s_to_the_last_bit(driver: Driver) -> None:
    cases = small_cases()
    for (image, spec), found in zip(cases, driver.tensors(cases), strict=True):
        assert np.array_equal(found, preprocess(image, spec)), (image.shape, spec)


def test_large_and_elongated_images_too(driver: Driver) -> None:
    cases = large_cases()
    for (image, spec), found in zip(cases, driver.tensors(cases), strict=True):
        assert np.array_equal(found, preprocess(image, spec)), (image.shape, spec.interpolation)


def test_png_pixels_are_python_s(driver: Driver, tmp_path: Path) -> None:
    paths = [*save_pngs(tmp_path), *more_pngs(tmp_path)]
    for path, found in zip(paths, driver.decode(paths), strict=True):
        assert np.array_equal(found, load_image(path)), (path.name, found)


def more_pngs(folder: Path) -> list[Path]:
    profile, large = folder / "gamma.png", folder / "tiles.png"
    colour = Image.fromarray(picture(37, 23))
    colour.save(profile, icc_profile=other_profile())
    Image.fromarray(picture(1100, 1030)).save(large)
    return [profile, large]


def other_profile() -> bytes:
    """Colours that a browser would change if it managed them: a profile with another gamma."""
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()


def test_jpeg_pixels_are_python_s(driver: Driver, tmp_path: Path) -> None:
    paths = save_jpegs(tmp_path)
    large, profile = tmp_path / "tiles.jpg", tmp_path / "profile.jpg"
    Image.fromarray(picture(1100, 1030)).save(large, quality=90)
    Image.fromarray(picture(37, 23)).save(profile, icc_profile=other_profile())
    paths = [*paths, large, profile]
    for path, found in zip(paths, driver.decode(paths), strict=True):
        expected = load_image(path)
        assert isinstance(found, np.ndarray), (path.name, found)
        assert found.shape == expected.shape, path.name
        # The browser brings its own release of libjpeg-turbo; it may round a pixel otherwise, never by more.
        assert np.abs(found.astype(int) - expected).max() <= 1, path.name


def test_what_is_no_image_is_refused_by_name(driver: Driver, tmp_path: Path) -> None:
    cases = {path: words for path, words in damaged(tmp_path).items() if path.is_file()}
    cases |= {tmp_path / "head.png": "its PNG header is damaged", tmp_path / "head.jpg": "truncated"}
    for (path, words), found in zip(cases.items(), driver.decode(list(cases)), strict=True):
        assert found in (f"{path.name}: {words}", f"{path.name}: the image file is {words}")


def test_a_damaged_byte_is_never_pixels_of_another_image(driver: Driver, tmp_path: Path) -> None:
    """Each byte of a small PNG changed: refused, or the change was in what the pixels do not depend on."""
    Image.fromarray(picture(9, 7)).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    paths = []
    for index in range(len(whole)):
        path = tmp_path / f"{index}.png"
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 0x55]) + whole[index + 1 :])
        paths.append(path)
    expected = load_image(tmp_path / "whole.png")
    for path, found in zip(paths, driver.decode(paths), strict=True):
        assert isinstance(found, str) or np.array_equal(found, expected), path.name


def test_a_hundred_megapixels_are_refused_before_they_are_decoded(driver: Driver, tmp_path: Path) -> None:
    paths = [tmp_path / "huge.png", tmp_path / "huge.jpg"]
    for path in paths:
        Image.new("L", (10_000, 10_000)).save(path)
    found, growth = watched(driver, lambda: driver.decode(paths))
    for path, answer in zip(paths, found, strict=True):
        assert answer == f"{path.name}: 10000x10000 pixels are more than the limit of 64000000"
    assert growth < 100 * MIB, "decoded, either would take 300 MB"


def watched(driver: Driver, action: Callable[[], list[Pixels | str]]) -> tuple[list[Pixels | str], int]:
    """What an action gives, and by how many bytes the pages grew meanwhile at the most."""
    folders = [Path(f"/proc/{pid}") for pid in driver.browser.pages()]
    before = {}
    for folder in folders:
        # Linux forgets the highest mark so far.
        (folder / "clear_refs").write_text("5")
        before[folder] = mark_of(folder, "VmRSS")
    given = action()
    return given, sum(mark_of(folder, "VmHWM") - resident for folder, resident in before.items())


def mark_of(folder: Path, name: str) -> int:
    (kib,) = re.findall(rf"{name}:\s+(\d+) kB", (folder / "status").read_text())
    return 1024 * int(kib)


def test_a_small_file_that_inflates_to_much_is_read_no_further(driver: Driver, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"
    write_png(bomb, struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0), zlib.compress(bytes(400 * MIB)))
    (found,), growth = watched(driver, lambda: driver.decode([bomb]))
    assert not isinstance(found, str), found
    assert found.tolist() == [[[0, 0, 0], [0, 0, 0]]]
    assert growth < 100 * MIB


def test_wrong_channels_and_impossible_shapes_are_refused(driver: Driver, tmp_path: Path) -> None:
    said = driver.page.evaluate(
        "import('./pixels.js').then(({ Pixels }) => [[10, 10, 2], [10, 10, 3], [0, 10, 1]].map((shape) => {"
        "try { new Pixels(...shape, new Uint8Array(200)) } catch (error) { return error.message } }))"
    )
    assert said == [
        "an image has 2 channels, not 1, 3 or 4",
        "an image has 200 bytes, which is not 10x10x3",
        "an image has 200 bytes, which is not 0x10x1",
    ]
    (elongated,) = driver.tensors([(np.zeros((1, 100_000, 1), np.uint8), Preprocessing(size=(2000, 2000)))])
    assert "too elongated" in elongated
