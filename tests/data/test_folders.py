"""Image folders: order, classes and their labels, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmformer.data.folders import open_folder
from dmformer.data.open import open_dataset
from dmformer.errors import DataError
from dmformer.tasks.classification import check_labels


def put(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 5, 3), number, np.uint8)).save(root / name)
    return root


def test_flat_folder(tmp_path: Path) -> None:
    put(tmp_path, "b.PNG", "a.jpg", ".hidden.png", ".cache/c.png")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    dataset = open_folder(tmp_path)
    assert dataset.files == ("a.jpg", "b.PNG")
    assert not dataset.labelled
    assert dataset.classes is None
    sample = dataset.load(1)
    assert (sample.image.shape, sample.label, sample.name) == ((4, 5, 3), None, "b.PNG")
    check_labels(dataset, 3)


def test_class_folders_are_numbered_in_sorted_order(tmp_path: Path) -> None:
    put(tmp_path, "dog/1.png", "cat/2.png", "cat/deeper/3.png")
    dataset = open_folder(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert dataset.files == ("cat/2.png", "cat/deeper/3.png", "dog/1.png")
    assert dataset.load(2).label == 1
    check_labels(dataset, 2)
    with pytest.raises(DataError, match=r"classes that do not match the labels.*2 classes but the model has 3"):
        check_labels(dataset, 3)


def test_class_folders_are_matched_by_name(tmp_path: Path) -> None:
    put(tmp_path, "dog/1.png", "cat/2.png")
    dataset = open_dataset(tmp_path, labels=["bird", "dog", "cat"])
    assert [dataset.load(index).label for index in range(2)] == [2, 1]
    check_labels(dataset, 3)


def test_class_folders_that_do_not_match(tmp_path: Path) -> None:
    put(tmp_path, *[f"strange{number}/1.png" for number in range(7)], "dog/1.png")
    with pytest.raises(DataError, match=r"7 class folders.*'strange4', \.\.\.") as caught:
        open_folder(tmp_path, labels=["dog", "cat"])
    assert caught.value.hint is not None
    assert "'cat'" in caught.value.hint


def test_a_label_that_two_classes_share_is_no_match(tmp_path: Path) -> None:
    put(tmp_path, "crane/1.png")
    with pytest.raises(DataError, match="exactly one"):
        open_folder(tmp_path, labels=["crane", "heron", "crane"])


def test_numbered_folders_are_indices(tmp_path: Path) -> None:
    put(tmp_path, "10/1.png", "9/2.png", "002/3.png")
    labels = [f"class {number}" for number in range(11)]
    assert open_folder(tmp_path, labels).file_labels == (2, 10, 9)
    dataset = open_folder(tmp_path)
    assert dataset.file_labels == (2, 10, 9)
    check_labels(dataset, 11)
    with pytest.raises(DataError, match="label 10 but the model has 10 classes"):
        check_labels(dataset, 10)
    with pytest.raises(DataError, match="'10'"):
        open_folder(tmp_path, labels[:10])


def test_labels_that_are_digits_match_by_name_first(tmp_path: Path) -> None:
    put(tmp_path, "3/1.png", "1/2.png")
    assert open_folder(tmp_path, labels=["1", "3", "5"]).file_labels == (0, 1)


def test_an_absurd_number_is_a_name(tmp_path: Path) -> None:
    put(tmp_path, f"{'9' * 30}/1.png")
    assert open_folder(tmp_path).file_labels == (0,)


def test_loose_images_beside_class_folders_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "stray.png")
    with pytest.raises(DataError, match=r"stray\.png"):
        open_folder(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match="no images") as caught:
        open_folder(tmp_path)
    assert caught.value.hint
    assert ".jpg" in caught.value.hint


def test_a_folder_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "cat/1.png")

    def deny(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("os.scandir", deny)
    with pytest.raises(DataError, match="cannot be listed: Permission denied"):
        open_folder(tmp_path)


def test_digest_sees_content_names_and_labels(tmp_path: Path) -> None:
    one = put(tmp_path / "one", "cat/1.png", "dog/2.png")
    two = put(tmp_path / "two", "cat/1.png", "dog/2.png")
    base = open_folder(one).digest()
    assert open_folder(two).digest() == base
    assert open_folder(one).select([1, 0]).digest() == base
    assert open_folder(one).select([1]).digest() != base
    assert open_folder(one, ["dog", "cat"]).digest() != base
    (two / "cat/1.png").write_bytes(b"other")
    assert open_folder(two).digest() != base


def test_content_hashes_find_the_same_pixels_in_another_file(tmp_path: Path) -> None:
    dataset = open_folder(put(tmp_path, "a.png", "b.png", "c.bmp"))
    Image.open(tmp_path / "a.png").save(tmp_path / "c.bmp")
    (tmp_path / "b.png").write_bytes(b"broken")
    first, second = dataset.content_hashes()
    assert first == second
