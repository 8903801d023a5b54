"""``.npz`` files, whole, pickled, bomb-like and broken."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dmformer.data.arrays import open_npz
from dmformer.data.open import open_dataset
from dmformer.errors import DataError
from dmformer.tasks.classification import check_labels

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 6, 7, 3), dtype=np.uint8)


def save(path: Path, **members: NDArray[Any]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in members.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=True)
            archive.writestr(f"{key}.npy", buffer.getvalue())
    return path


def save_header(path: Path, shape: tuple[int, ...], descr: str = "|u1", data: bytes = b"") -> Path:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", buffer.getvalue() + data)
    return path


@pytest.mark.parametrize("keys", [("images", "labels"), ("x", "y"), ("x_test", "y_test"), ("pictures", "labels")])
def test_images_and_labels(tmp_path: Path, keys: tuple[str, str]) -> None:
    path = save(tmp_path / "set.npz", **{keys[0]: IMAGES, keys[1]: np.array([[3], [1], [2], [0]], np.uint8)})
    dataset = open_dataset(path)
    assert (dataset.name, len(dataset), dataset.labelled) == ("set", 4, True)
    assert np.array_equal(dataset.load(1).image, IMAGES[1])
    assert dataset.load(0).label == 3
    check_labels(dataset, 4)
    with pytest.raises(DataError, match="label 3 but the model has 3 classes"):
        check_labels(dataset, 3)


def test_grey_images_without_labels(tmp_path: Path) -> None:
    dataset = open_npz(save(tmp_path / "set.npz", images=IMAGES[:, :, :, 0]))
    assert not dataset.labelled
    assert dataset.labels is None
    assert np.array_equal(dataset.load(2).image[:, :, 1], IMAGES[2, :, :, 0])


def test_digest_sees_pixels_and_labels(tmp_path: Path) -> None:
    digests = {
        open_npz(save(tmp_path / "a.npz", **members)).digest()
        for members in (
            {"images": IMAGES},
            {"images": 255 - IMAGES},
            {"images": IMAGES, "labels": np.arange(4)},
            {"images": IMAGES, "labels": np.arange(4)[::-1]},
        )
    }
    assert len(digests) == 4
    assert open_npz(save(tmp_path / "b.npz", images=IMAGES)).digest() in digests


def test_negative_labels_are_found(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="label -1"):
        check_labels(open_npz(save(tmp_path / "a.npz", images=IMAGES, labels=np.array([0, 1, -1, 2]))), 10)


@pytest.mark.parametrize(
    "members",
    [
        {"images": IMAGES.astype(np.float32)},
        {"images": IMAGES.transpose(0, 3, 1, 2)},
        {"images": IMAGES[0]},
        {"images": IMAGES[:0]},
        {"images": IMAGES, "labels": np.arange(3)},
        {"images": IMAGES, "labels": np.zeros(4)},
        {"one": IMAGES, "two": IMAGES},
        {"other": np.zeros(3)},
        {},
        {"images": np.array([{"a": 1}], dtype=object)},
        {"images": IMAGES, "labels": np.array([1, 2, 3, None], dtype=object)},
    ],
)
def test_other_contents_are_refused(tmp_path: Path, members: dict[str, NDArray[Any]]) -> None:
    with pytest.raises(DataError, match=r"bad\.npz") as caught:
        open_npz(save(tmp_path / "bad.npz", **members))
    assert caught.value.hint


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="never loaded"):
        open_npz(save(tmp_path / "bad.npz", images=IMAGES, labels=np.array([1, 2, 3, None], dtype=object)))


def test_declared_sizes_are_checked_before_reading(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="limit"):
        open_npz(save_header(tmp_path / "bomb.npz", (10**9, 100, 100, 3)))
    with pytest.raises(DataError, match="more data than the file holds"):
        open_npz(save_header(tmp_path / "short.npz", (1000, 100, 100, 3)))
    with pytest.raises(DataError, match="limit"):
        open_npz(save_header(tmp_path / "full.npz", (100, 100, 100), data=bytes(10**6)), max_bytes=10**6 - 1)
    with pytest.raises(DataError):
        open_npz(save_header(tmp_path / "negative.npz", (-1, -1, 5, 3)))


def test_damaged_files_give_no_other_error(tmp_path: Path) -> None:
    content = save(tmp_path / "good.npz", images=IMAGES, labels=np.arange(4)).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "bad.npz"
    for _ in range(150):
        damaged = bytearray(content[: rng.integers(1, len(content) + 1)] if rng.random() < 0.3 else content)
        damaged[rng.integers(0, len(damaged))] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(damaged)
        try:
            assert len(open_npz(path)) > 0
        except DataError as error:
            assert error.hint
