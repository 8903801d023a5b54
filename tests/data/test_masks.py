"""Masks in files and arrays: which values are read, what is ignored, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from dmformer import MaskOptions
from dmformer.common_options import MASKS
from dmformer.data.dataset import IGNORED
from dmformer.data.masks import classes_of, read_mask, read_palette
from dmformer.errors import DataError, TooLargeError

VALUES = np.array([[0, 1, 2], [255, 149, 150]], np.uint8)
CLASSES = np.array([[0, 1, 2], [IGNORED, 149, 150]], np.int16)
COLOURS = [(number * 7 % 256, number * 11 % 256, number * 13 % 256) for number in range(256)]


def paletted(values: NDArray[np.uint8]) -> Image.Image:
    image = Image.fromarray(values, "L").copy()
    image.putpalette([channel for colour in COLOURS for channel in colour])
    return image


@pytest.mark.parametrize(
    ("suffix", "image"),
    [
        (".png", Image.fromarray(VALUES)),
        (".png", paletted(VALUES)),
        (".png", Image.fromarray(VALUES.astype(np.uint16))),
        (".png", Image.fromarray(np.repeat(VALUES[..., None], 3, axis=2))),
        (".png", Image.fromarray(np.dstack([VALUES, np.full_like(VALUES, 9)]), "LA")),
        (".tif", Image.fromarray(VALUES.astype(np.uint16))),
        (".tif", Image.fromarray(VALUES.astype(np.int32))),
        (".bmp", paletted(VALUES)),
        (".pgm", Image.fromarray(VALUES)),
    ],
)
def test_values_are_classes(tmp_path: Path, suffix: str, image: Image.Image) -> None:
    path = tmp_path / f"mask{suffix}"
    image.save(path)
    mask = read_mask(path, MASKS)
    assert mask.dtype == np.int16
    assert np.array_equal(mask, CLASSES)


def test_sixteen_bits_hold_more_than_256_classes(tmp_path: Path) -> None:
    values = np.array([[0, 1, 3687], [65535, 256, 255]], np.uint16)
    Image.fromarray(values).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png", MaskOptions(ignore_index=65535)).tolist() == [[0, 1, 3687], [-1, 256, 255]]
    with pytest.raises(DataError, match=r"mask\.png: holds the value 65535, which can be no class"):
        read_mask(tmp_path / "mask.png", MASKS)


def test_one_bit_is_two_classes(tmp_path: Path) -> None:
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png", MASKS).tolist() == [[1, 0]]


@given(
    st.lists(st.integers(0, 255), min_size=1, max_size=40), st.booleans(), st.integers(-1, 255),
)  # fmt: skip
def test_reducing_the_zero_label_is_mmsegmentation_s(values: list[int], reduce: bool, ignored: int) -> None:
    stored = np.array([values], np.uint8)
    mask = classes_of(stored, MaskOptions(reduce, ignored), "mask")
    for value, found in zip(values, mask[0].tolist(), strict=True):
        unknown = value == ignored or (reduce and value == 0)
        assert found == (IGNORED if unknown else value - reduce)


def test_unknown_may_be_written_as_it_is_here() -> None:
    assert classes_of(np.array([[-1, 3]], np.int64), MASKS, "mask").tolist() == [[IGNORED, 3]]
    with pytest.raises(DataError, match="mask: holds the value -2"):
        classes_of(np.array([[-2, 3]], np.int64), MASKS, "mask")


COLOURED = np.dstack([VALUES, VALUES.T.reshape(2, 3), VALUES])


@pytest.mark.parametrize(
    ("name", "image", "reason"),
    [
        ("mask.png", Image.fromarray(COLOURED), "colours without a palette"),
        ("mask.png", Image.fromarray(np.dstack([COLOURED, VALUES]), "RGBA"), "colours without a palette"),
        ("mask.tif", Image.fromarray(np.dstack([COLOURED, VALUES]), "CMYK"), "colours without a palette"),
        ("mask.jpg", Image.fromarray(VALUES), "JPEG, whose compression changes values"),
        ("mask.webp", Image.fromarray(COLOURED), "WEBP, whose compression changes values"),
        ("mask.tif", Image.fromarray(VALUES.astype(np.float32)), "fractions"),
    ],
)
def test_what_holds_no_classes_is_named(tmp_path: Path, name: str, image: Image.Image, reason: str) -> None:
    image.save(tmp_path / name)
    with pytest.raises(DataError, match=rf"{name}: .*{reason}") as caught:
        read_mask(tmp_path / name, MASKS)
    assert "PNG" in (caught.value.hint or "")


def test_files_are_hostile(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    with pytest.raises(DataError, match="cannot be read"):
        read_mask(tmp_path / "mask.png", MASKS)
    Image.new("1", (8001, 8001)).save(tmp_path / "large.png")
    with pytest.raises(TooLargeError, match="more than the limit"):
        read_mask(tmp_path / "large.png", MASKS)
    with pytest.raises(DataError, match="no such file"):
        read_mask(tmp_path / "nothing.png", MASKS)
    assert read_palette(tmp_path / "mask.png") is None


def test_palettes_are_colours_of_the_values(tmp_path: Path) -> None:
    paletted(VALUES).save(tmp_path / "mask.png")
    assert (read_palette(tmp_path / "mask.png") or ())[:151] == tuple(COLOURS[:151])
    Image.fromarray(VALUES).save(tmp_path / "grey.png")
    assert read_palette(tmp_path / "grey.png") is None
