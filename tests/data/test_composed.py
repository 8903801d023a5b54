"""Composed scenes: the same everywhere, with masks that are the garments', of sets that share nothing."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from dmformer_demo.scenes import PALETTE, SIDES, TEST_GROUNDS, TRAINING_GROUNDS, Scenes, silhouette

from dmformer import assets
from dmformer.data.composed import ComposedDataset
from dmformer.data.dataset import subset


@pytest.fixture(scope="module")
def scenes() -> ComposedDataset:
    return assets.test_scenes()


def test_a_scene_is_the_same_on_every_machine(scenes: ComposedDataset) -> None:
    sample = scenes.load(7)
    assert sample.mask is not None
    assert hashlib.sha256(sample.image.tobytes() + sample.mask.tobytes()).hexdigest()[:16] == "684c14d48dc9ee24"
    assert np.array_equal(scenes.load(7).image, sample.image)


def test_sets_are_of_the_size_and_classes_that_are_promised(scenes: ComposedDataset) -> None:
    assert len(scenes) == 2000
    assert scenes.labelled
    assert scenes.labels is None
    assert len(scenes.classes) == len(scenes.palette) == len(set(PALETTE)) == 11
    for sample in (scenes.load(index) for index in range(0, 2000, 100)):
        assert sample.mask is not None
        assert sample.image.shape == (*sample.mask.shape, 3)
        assert all(SIDES[0] <= side <= SIDES[1] for side in sample.mask.shape)
        assert 0 == sample.mask.min() < sample.mask.max() <= 10


def test_test_and_calibration_share_neither_garments_nor_grounds(scenes: ComposedDataset) -> None:
    assert not set(TEST_GROUNDS) & set(TRAINING_GROUNDS)
    test, calibration = scenes.pictures, assets.calibration_scenes().pictures
    assert isinstance(test, Scenes)
    assert isinstance(calibration, Scenes)
    assert not {image.tobytes() for image in test.garments} & {image.tobytes() for image in calibration.garments}


def test_a_mask_is_where_the_garment_was_laid() -> None:
    garment = np.zeros((1, 28, 28), np.uint8)
    garment[0, 4:24, 8:20], garment[0, 10, 10] = 200, 0  # a hole inside belongs to it
    black = (np.zeros((200, 200, 3), np.uint8),)
    image, mask = Scenes(garment, np.array([3]), black, 1, seed=5)[0]
    assert set(np.unique(mask)) == {0, 4}
    assert image[mask == 4].max(axis=1).mean() > 4 * image[mask == 0].max(axis=1).mean()
    assert silhouette(garment[0])[4:24, 8:20].min() == 255
    assert silhouette(garment[0]).sum() == 20 * 12 * 255


def test_a_part_of_the_set_keeps_its_pictures_and_has_a_digest_of_its_own(scenes: ComposedDataset) -> None:
    part = subset(scenes, 20)
    assert part.sample_name(1) == scenes.sample_name(100)
    assert np.array_equal(part.load(1).image, scenes.load(100).image)
    assert len({scenes.digest(), part.digest(), assets.calibration_scenes().digest()}) == 3
