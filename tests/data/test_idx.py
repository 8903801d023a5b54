"""IDX files, plain and gzipped, whole and broken; and the door that finds out what is at a path."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dmformer.data.idx import open_idx, read_idx
from dmformer.data.open import open_dataset
from dmformer.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6, 7), dtype=np.uint8)
LABELS = np.array([4, 0, 2, 1, 3], dtype=np.uint8)


def idx(array: NDArray[Any]) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("images", ["t10k-images-idx3-ubyte", "t10k-images-idx3-ubyte.gz", "t10k-images.idx3-ubyte"])
@pytest.mark.parametrize("compress_labels", [False, True])
def test_images_with_the_labels_beside_them(tmp_path: Path, images: str, compress_labels: bool) -> None:
    path = write(tmp_path / images, idx(IMAGES))
    labels = images.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
    write(tmp_path / (f"{labels}.gz" if compress_labels else labels), idx(LABELS))
    for given in (path, tmp_path):
        dataset = open_dataset(given)
        assert len(dataset) == 5
        assert dataset.load(2).label == 2
        assert np.array_equal(dataset.load(1).image[:, :, 0], IMAGES[1])


def test_images_alone_have_no_labels(tmp_path: Path) -> None:
    assert not open_idx(write(tmp_path / "images-idx3-ubyte", idx(IMAGES))).labelled
    assert not open_idx(write(tmp_path / "renamed.bin", idx(IMAGES))).labelled


def test_a_folder_with_several_asks_to_name_one(tmp_path: Path) -> None:
    for name in ("t10k-images-idx3-ubyte", "train-images-idx3-ubyte"):
        write(tmp_path / name, idx(IMAGES))
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte, train-images-idx3-ubyte"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an IDX file"),
        (b"text, and not IDX", "not an IDX file"),
        (b"\0\0\x0d\x01" + bytes(8), "not an IDX file"),
        (b"\0\0\x08\x00", "not an IDX file"),
        (b"\0\0\x08\x05" + bytes(99), "not an IDX file"),
        (b"\0\0\x08\x03\0\0\0", "cannot be read"),
        (idx(IMAGES)[:-1], "fewer than the 210 values"),
        (idx(IMAGES) + b"\0", "more than the 210 values"),
        (b"\0\0\x08\x03" + bytes(12), "declares 0 values"),
        (b"\0\0\x08\x04" + b"\xff" * 16, "values; 1 to"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 2000, 1000, 1000), "fewer than the 2000000000"),
    ],
)
def test_what_is_not_a_whole_idx_file_is_refused(tmp_path: Path, suffix: str, content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        read_idx(write(tmp_path / f"bad-idx3{suffix}", content))
    assert caught.value.hint
    assert "bad-idx3" in caught.value.message


def test_gzip_bombs_are_not_unpacked_beyond_the_header(tmp_path: Path) -> None:
    path = write(tmp_path / "bomb.gz", idx(IMAGES) + bytes(50_000_000))
    with pytest.raises(DataError, match="more than the 210 values"):
        read_idx(path)


def test_a_truncated_gzip_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(idx(IMAGES))[:-20])
    with pytest.raises(DataError, match=r"cut\.gz"):
        read_idx(path)


def test_labels_that_do_not_fit_or_are_named_as_images(tmp_path: Path) -> None:
    path = write(tmp_path / "a-images-idx3-ubyte", idx(IMAGES))
    labels = write(tmp_path / "a-labels-idx1-ubyte", idx(LABELS[:4]))
    with pytest.raises(DataError, match="do not fit 5 images"):
        open_idx(path)
    with pytest.raises(DataError, match="not images"):
        open_idx(labels)


def test_what_is_no_dataset_is_refused_with_the_accepted_forms(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / "single.png")
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("missing", "single.png", "notes.txt", "empty.npz"):
        with pytest.raises(DataError, match=name) as caught:
            open_dataset(tmp_path / name)
        assert caught.value.hint is not None
        assert "IDX" in caught.value.hint


def test_a_folder_of_images_is_opened_too(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / "a.png")
    assert len(open_dataset(str(tmp_path))) == 1
