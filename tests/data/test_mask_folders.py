"""Images and masks in folders side by side, as the public sets have them and as anybody may."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dmformer import MaskOptions
from dmformer.data.dataset import UnreadableLog, readable_samples
from dmformer.data.known_sets import CITYSCAPES, VOC
from dmformer.data.mask_folders import MaskedFolder
from dmformer.data.open import open_dataset, open_unlabelled
from dmformer.errors import DataError

HEIGHT, WIDTH = 4, 6
MASK = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH) % 3


def put(path: Path, values: NDArray[np.uint8], **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)


def photo(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def opened(path: Path, options: MaskOptions | None = None) -> MaskedFolder:
    dataset = open_dataset(path, masks=options or MaskOptions())
    assert isinstance(dataset, MaskedFolder)
    assert (dataset.labelled, dataset.labels) == (True, None)
    return dataset


def plain_pair(root: Path, images: str = "images", masks: str = "masks", count: int = 3) -> Path:
    for number in range(count):
        put(root / images / f"{number}.jpg", photo(number))
        put(root / masks / f"{number}.png", MASK)
    return root


@pytest.mark.parametrize(
    "names", [("images", "masks"), ("Images", "Annotations"), ("imgs", "labels"), ("img_dir", "ann_dir")]
)
def test_a_plain_pair(tmp_path: Path, names: tuple[str, str]) -> None:
    dataset = opened(plain_pair(tmp_path, *names))
    assert dataset.files == tuple((f"{names[0]}/{number}.jpg", f"{names[1]}/{number}.png") for number in range(3))
    assert (dataset.classes, dataset.palette, dataset.notes) == (None, None, ())
    sample = dataset.load(1)
    assert (sample.image.shape, sample.label, sample.name) == ((HEIGHT, WIDTH, 3), None, f"{names[0]}/1.jpg")
    assert np.array_equal(sample.mask, MASK)  # type: ignore[arg-type]


def test_ade20k(tmp_path: Path) -> None:
    root = tmp_path / "ADEChallengeData2016"
    for split, count in (("training", 3), ("validation", 2)):
        for number in range(count):
            put(root / f"images/{split}/ADE_{number}.jpg", photo(number))
            put(root / f"annotations/{split}/ADE_{number}.png", MASK)
    rows = "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.1\t9\t9\t1\twall\n2\t0.1\t9\t9\t1\tbuilding, edifice\n"
    (root / "objectInfo150.txt").write_text(rows)
    dataset = opened(root, MaskOptions(reduce_zero_label=True))
    assert len(dataset) == 2
    assert dataset.classes == ("wall", "building")
    assert dataset.notes == (
        "ADEChallengeData2016: validation is taken of the splits training, validation; another: images/training",
    )
    assert np.array_equal(dataset.load(0).mask, MASK.astype(np.int16) - 1)  # type: ignore[arg-type]
    assert opened(root).classes == ("other", "wall", "building"), "0 is a class where nobody says otherwise"
    training = opened(root / "images/training")
    assert (len(training), training.notes) == (3, ())
    assert training.files[0] == ("images/training/ADE_0.jpg", "annotations/training/ADE_0.png")
    assert len(open_unlabelled(root)) == 5, "every image and no mask"


def test_cityscapes(tmp_path: Path) -> None:
    for name in ("a/a_000_019", "b/b_001_019"):
        put(tmp_path / f"leftImg8bit/val/{name}_leftImg8bit.png", photo())
        for what in ("labelIds", "instanceIds", "color"):
            put(tmp_path / f"gtFine/val/{name}_gtFine_{what}.png", MASK + 50)
    with pytest.raises(DataError, match=r"no image in leftImg8bit has a mask in gtFine: leftImg8bit/val/a") as caught:
        open_dataset(tmp_path)
    assert "csCreateTrainIdLabelImgs" in (caught.value.hint or "")
    put(tmp_path / "gtFine/val/b/b_001_019_gtFine_labelTrainIds.png", MASK)
    dataset = opened(tmp_path)
    assert dataset.files == (
        ("leftImg8bit/val/b/b_001_019_leftImg8bit.png", "gtFine/val/b/b_001_019_gtFine_labelTrainIds.png"),
    )
    assert (dataset.classes, dataset.palette) == (tuple(CITYSCAPES), tuple(CITYSCAPES.values()))
    assert dataset.notes == (
        f"{tmp_path.name}: 1 images without a mask are left aside: 'leftImg8bit/val/a/a_000_019_leftImg8bit.png'",
    )
    assert opened(tmp_path / "leftImg8bit" / "val").files == dataset.files


def test_pascal_voc(tmp_path: Path) -> None:
    for number in range(3):
        put(tmp_path / f"JPEGImages/2007_{number}.jpg", photo(number))
        put(tmp_path / f"SegmentationObject/2007_{number}.png", MASK)
        indexed = Image.fromarray(MASK).copy()
        indexed.putpalette([128, 0, 0] * 256)
        (tmp_path / "SegmentationClass").mkdir(exist_ok=True)
        indexed.save(tmp_path / f"SegmentationClass/2007_{number}.png")
    listing = tmp_path / "ImageSets/Segmentation/val.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text("2007_2\n2007_0\n2007_9\n")
    dataset = opened(tmp_path)
    assert [dataset.sample_name(index) for index in range(2)] == ["JPEGImages/2007_2.jpg", "JPEGImages/2007_0.jpg"]
    assert dataset.notes == (f"{tmp_path.name}: 2 of the 3 images in ImageSets/Segmentation/val.txt are there",)
    assert (dataset.classes, len(dataset.palette or ())) == (VOC, 21)
    assert (dataset.palette or ())[9] == (192, 0, 0)
    assert np.array_equal(dataset.load(0).mask, MASK), "indices, not colours"  # type: ignore[arg-type]
    listing.write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"val\.txt: cannot be read"):
        open_dataset(tmp_path)


def test_folders_that_hold_no_pair_are_what_they_were(tmp_path: Path) -> None:
    plain_pair(tmp_path, "images", "labels")
    named = open_dataset(tmp_path, labels=["images", "labels"])
    assert named.labels is not None, "the model has classes of these names"
    boxes = tmp_path / "boxes"
    shutil.copytree(tmp_path / "images", boxes / "images/cat")
    (boxes / "labels").mkdir()
    (boxes / "labels/0.txt").write_text("0 0.5 0.5 1 1")
    assert open_dataset(boxes).classes == ("images",)
    assert open_dataset(boxes / "images").classes == ("cat",)


def test_a_size_that_differs_is_named_and_counted(tmp_path: Path) -> None:
    plain_pair(tmp_path, count=8)
    for number in range(3):
        put(tmp_path / f"masks/{number}.png", np.zeros((HEIGHT + 1, WIDTH), np.uint8))
    dataset, log = opened(tmp_path), UnreadableLog()
    with pytest.raises(DataError, match=r"masks/0\.png: has 6x5 pixels, its image 6x4"):
        dataset.load(0)
    assert [index for index, _ in readable_samples(dataset, log)] == [3, 4, 5, 6, 7]
    assert "skipped 3 unreadable images: images/0.jpg (" in log.summary()
    put(tmp_path / "masks/3.png", np.zeros((1, 1), np.uint8))
    with pytest.raises(DataError, match=r"4 of 8 images cannot be read.*has 1x1 pixels, its image 6x4"):
        list(readable_samples(dataset, UnreadableLog()))


def turned_photo(path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    put(path, photo(), exif=exif)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [(5, MASK.T), (6, np.rot90(MASK, -1)), (7, np.rot90(MASK, 2).T), (8, np.rot90(MASK))],
)
def test_a_mask_of_stored_pixels_is_turned_as_its_photo_is(
    tmp_path: Path, orientation: int, upright: NDArray[np.uint8]
) -> None:
    turned_photo(tmp_path / "images/a.png", orientation)
    put(tmp_path / "masks/a.png", MASK)
    sample = opened(tmp_path).load(0)
    assert sample.image.shape[:2] == (WIDTH, HEIGHT)
    assert np.array_equal(sample.mask, upright)  # type: ignore[arg-type]
    put(tmp_path / "masks/a.png", np.ascontiguousarray(upright))
    assert np.array_equal(opened(tmp_path).load(0).mask, upright), "drawn on the upright photo"  # type: ignore[arg-type]


def test_a_mask_of_swapped_sides_without_a_turn_is_of_another_size(tmp_path: Path) -> None:
    put(tmp_path / "images/a.png", photo())
    put(tmp_path / "masks/a.png", np.ascontiguousarray(MASK.T))
    with pytest.raises(DataError, match="has 4x6 pixels, its image 6x4"):
        opened(tmp_path).load(0)


def test_digest_sees_images_masks_and_what_values_mean(tmp_path: Path) -> None:
    plain_pair(tmp_path)
    first = opened(tmp_path)
    digests = [first.digest(), opened(tmp_path, MaskOptions(True)).digest(), first.select([0, 1]).digest()]
    assert first.select([2, 0, 1]).digest() == digests[0]
    put(tmp_path / "masks/1.png", MASK + 1)
    digests.append(opened(tmp_path).digest())
    put(tmp_path / "images/1.jpg", photo(9))
    digests.append(opened(tmp_path).digest())
    assert len(set(digests)) == 5


def test_a_palette_comes_from_the_masks(tmp_path: Path) -> None:
    plain_pair(tmp_path)
    indexed = Image.fromarray(MASK).copy()
    indexed.putpalette([number for number in range(256) for _ in range(3)])
    indexed.save(tmp_path / "masks/0.png")
    assert (opened(tmp_path).palette or ())[:2] == ((0, 0, 0), (1, 1, 1))
    assert (opened(tmp_path, MaskOptions(True)).palette or ())[:2] == ((1, 1, 1), (2, 2, 2))


def test_a_link_to_the_images_keeps_its_masks(tmp_path: Path) -> None:
    plain_pair(tmp_path / "store")
    (tmp_path / "here").mkdir()
    for folder in ("images", "masks"):
        (tmp_path / "here" / folder).symlink_to(tmp_path / "store" / folder)
    assert len(opened(tmp_path / "here" / "images")) == 3
