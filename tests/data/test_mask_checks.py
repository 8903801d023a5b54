"""Masks against a model's classes: what does not fit is named with its file and value, before anything is done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dmformer import MaskOptions
from dmformer.data.arrays import open_npz
from dmformer.data.dataset import IGNORED, Dataset
from dmformer.data.mask_checks import check_masks
from dmformer.data.open import open_dataset
from dmformer.errors import DataError
from dmformer.tasks.classification import check_labels
from dmformer.tasks.segmentation import SemanticSegmentation
from dmformer.tasks.segmentation_heads import FpnHead
from tests.data.test_mask_folders import plain_pair, put

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 3), dtype=np.uint8)
MASKS = np.arange(72, dtype=np.uint8).reshape(3, 4, 6) % 5


def arrays(tmp_path: Path, masks: NDArray[np.generic], options: MaskOptions | None = None, **more: object) -> Dataset:
    np.savez(tmp_path / "set.npz", images=IMAGES, masks=masks, **more)  # type: ignore[arg-type]
    return open_dataset(tmp_path / "set.npz", masks=options or MaskOptions())


def test_npz_with_masks(tmp_path: Path) -> None:
    dataset = arrays(tmp_path, MASKS)
    assert (dataset.labelled, dataset.labels, dataset.classes, dataset.palette) == (True, None, None, None)
    assert np.array_equal(dataset.load(1).mask, MASKS[1])  # type: ignore[arg-type]
    assert np.array_equal(dataset.select([2]).load(0).mask, MASKS[2])  # type: ignore[arg-type]
    check_masks(dataset, 5)
    reduced = arrays(tmp_path, MASKS, MaskOptions(reduce_zero_label=True)).load(0)
    assert np.array_equal(reduced.mask, MASKS[0].astype(np.int16) - 1)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="its images have masks"):
        check_labels(dataset, 5)


def test_npz_may_have_both(tmp_path: Path) -> None:
    dataset = arrays(tmp_path, MASKS, labels=np.array([2, 0, 1]))
    check_labels(dataset, 3)
    check_masks(dataset, 5)
    assert (dataset.load(0).label, dataset.notes) == (2, ())


def test_npz_s_digest_sees_masks(tmp_path: Path) -> None:
    without = tmp_path / "without.npz"
    np.savez(without, images=IMAGES)
    digests = {open_npz(without).digest(), arrays(tmp_path, MASKS).digest(), arrays(tmp_path, MASKS[::-1]).digest()}
    digests |= {arrays(tmp_path, MASKS, MaskOptions(ignore_index=4)).digest()}
    assert len(digests) == 4


@pytest.mark.parametrize("masks", [MASKS[:2], MASKS[:, :3], MASKS[..., None], MASKS.astype(np.float32)])
def test_npz_masks_that_do_not_fit(tmp_path: Path, masks: NDArray[np.generic]) -> None:
    with pytest.raises(DataError, match=r"set\.npz: masks: masks .* do not fit images of shape \(3, 4, 6, 3\)"):
        arrays(tmp_path, masks)


def test_values_beyond_the_classes_are_named_with_file_and_value(tmp_path: Path) -> None:
    plain_pair(tmp_path)
    put(tmp_path / "masks/1.png", np.full((4, 6), 7, np.uint8))
    put(tmp_path / "masks/2.png", np.full((4, 6), 3, np.uint8))
    check_masks(open_dataset(tmp_path), 8)
    with pytest.raises(
        DataError, match=r"beyond the 3 classes in 2 of 3 masks: masks/1\.png has 7, masks/2\.png has 3"
    ):
        check_masks(open_dataset(tmp_path), 3)
    with pytest.raises(DataError, match=r"1 of 3 masks: masks/1\.png has 7") as caught:
        check_masks(open_dataset(tmp_path, masks=MaskOptions(True)), 3)
    assert "from 1 to 3" in (caught.value.hint or ""), "in the words of the file"


def test_pixels_that_are_all_ignored(tmp_path: Path) -> None:
    nothing = np.full_like(MASKS, 255)
    with pytest.raises(DataError, match="all pixels of all 3 masks are ignored"):
        check_masks(arrays(tmp_path, nothing), 5)
    some = np.concatenate([nothing[:2], MASKS[2:]])
    check_masks(arrays(tmp_path, some), 5)
    assert arrays(tmp_path, some).load(0).mask.max() == IGNORED  # type: ignore[union-attr]


def test_255_for_the_one_class_is_not_taken_for_ignored(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="class 0 and ignored pixels alone") as caught:
        check_masks(arrays(tmp_path, np.where(MASKS > 2, 255, 0).astype(np.uint8)), 2)
    assert "with 1 in its place" in (caught.value.hint or "")


def test_classes_that_are_not_the_model_s(tmp_path: Path) -> None:
    for number in range(2):
        put(tmp_path / f"images/{number}.png", IMAGES[number])
        put(tmp_path / f"annotations/{number}.png", MASKS[number])
    (tmp_path / "objectInfo150.txt").write_text("Idx\tName\n" + "".join(f"{n}\tthing {n}\n" for n in range(1, 5)))
    task = SemanticSegmentation(FpnHead(classes=4))
    task.check(open_dataset(tmp_path, masks=MaskOptions(True)))
    with pytest.raises(DataError, match="has 5 classes, the model has 4") as caught:
        task.check(open_dataset(tmp_path))
    assert "--reduce-zero-label" in (caught.value.hint or "")
    with pytest.raises(DataError, match="values beyond the 3 classes in 2 of 2 masks"):
        SemanticSegmentation(FpnHead(classes=3)).check(arrays(tmp_path, MASKS).select([0, 1]))


def test_labels_are_no_masks(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=IMAGES, labels=np.arange(3))
    with pytest.raises(DataError, match="its images have classes, and masks are needed"):
        check_masks(open_dataset(tmp_path / "set.npz"), 5)
    np.savez(tmp_path / "set.npz", images=IMAGES)
    check_masks(open_dataset(tmp_path / "set.npz"), 5)
