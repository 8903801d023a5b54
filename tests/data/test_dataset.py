"""Batches, subsets, and images that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmformer.data.arrays import ArrayDataset
from dmformer.data.dataset import Dataset, UnreadableLog, content_hash, iterate_batches, subset
from dmformer.data.folders import open_folder
from dmformer.errors import DataError, UsageError
from dmformer.preprocessing import Preprocessing, preprocess

SPEC = Preprocessing(size=(8, 8))


def arrays(count: int = 10) -> ArrayDataset:
    images = np.random.default_rng(0).integers(0, 256, (count, 6, 7, 3), dtype=np.uint8)
    return ArrayDataset("numbers", images, np.arange(count))


def folder(root: Path, count: int, broken: int) -> Dataset:
    for number in range(count):
        path = root / f"{number:03}.png"
        Image.fromarray(np.full((4, 4, 3), number % 256, np.uint8)).save(path)
        if number < broken:
            path.write_bytes(b"broken")
    return open_folder(root)


def test_batches_hold_every_image_once_in_order() -> None:
    dataset = arrays(10)
    batches = list(iterate_batches(dataset, SPEC, 4, target=lambda sample: (sample.label, sample.name)))
    assert [batch.tensor.shape for batch in batches] == [(4, 3, 8, 8), (4, 3, 8, 8), (2, 3, 8, 8)]
    assert sum((batch.indices for batch in batches), ()) == tuple(range(10))
    assert batches[2].targets == ((8, "numbers[8]"), (9, "numbers[9]"))
    assert np.array_equal(batches[2].tensor[1], preprocess(dataset.load(9).image, SPEC))
    assert not np.shares_memory(batches[0].tensor, batches[1].tensor)


def test_a_batch_size_of_nothing_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="batch size 0"):
        iterate_batches(arrays(), SPEC, 0)


def test_a_few_unreadable_images_are_skipped_and_named(tmp_path: Path) -> None:
    log = UnreadableLog()
    batches = list(iterate_batches(folder(tmp_path, 8, broken=3), SPEC, 4, log=log))
    assert [len(batch.tensor) for batch in batches] == [4, 1]
    assert batches[0].targets == (None,) * 4
    assert [entry.name for entry in log.entries] == ["000.png", "001.png", "002.png"]
    assert "000.png" in log.describe(1)
    assert log.describe(1).endswith("and 2 more")


def test_more_than_a_few_stop_the_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"4 of 8 images.*000\.png") as caught:
        list(iterate_batches(folder(tmp_path, 8, broken=4), SPEC, 4))
    assert caught.value.hint


def test_one_percent_of_many_may_be_unreadable(tmp_path: Path) -> None:
    assert sum(len(batch.tensor) for batch in iterate_batches(folder(tmp_path, 400, broken=4), SPEC, 100)) == 396
    with pytest.raises(DataError, match="5 of 400"):
        list(iterate_batches(folder(tmp_path, 400, broken=5), SPEC, 100))


def test_a_set_without_any_readable_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 of 2"):
        list(iterate_batches(folder(tmp_path, 2, broken=2), SPEC, 4))


def test_subset_is_spread_evenly_or_drawn_with_a_seed() -> None:
    dataset = arrays(10)
    spread = subset(dataset, 5)
    assert [spread.load(index).label for index in range(5)] == [0, 2, 4, 6, 8]
    drawn, again, other = subset(dataset, 5, seed=1), subset(dataset, 5, seed=1), subset(dataset, 5, seed=2)
    assert drawn.digest() == again.digest() != other.digest()
    assert drawn.labels is not None
    assert np.array_equal(drawn.labels, np.unique(drawn.labels))
    assert subset(dataset, 10) is dataset
    with pytest.raises(UsageError):
        subset(dataset, 0)


def test_a_subset_of_a_subset_keeps_its_names() -> None:
    twice = subset(subset(arrays(10), 5), 2)
    assert [twice.load(index).name for index in range(2)] == ["numbers[0]", "numbers[4]"]


def test_content_hash_tells_shapes_apart() -> None:
    flat = np.zeros((2, 8, 3), np.uint8)
    assert content_hash(flat) != content_hash(flat.reshape(4, 4, 3))
    assert list(arrays(2).content_hashes()) == [content_hash(arrays(2).load(index).image) for index in range(2)]
