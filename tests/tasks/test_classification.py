"""What a classifier's answers tell of the images: a model that answers like chance is said to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dmformer.data.open import open_dataset
from dmformer.tasks.base import Result
from dmformer.tasks.classification import Classification, LinearHead
from tests.support import random_images


@pytest.mark.parametrize(
    ("images", "right", "said"), [(400, 75, True), (400, 110, False), (100, 53, False), (20, 7, True), (19, 0, False)]
)
def test_answers_like_chance_are_said(images: int, right: int, said: bool, tmp_path: Path) -> None:
    labels = np.arange(images) % 5
    np.savez(tmp_path / "set.npz", images=random_images(images, side=2), labels=labels)
    answers = np.where(np.arange(images) < right, labels, (labels + 1) % 5)
    tally = Classification(LinearHead(classes=5)).tally("shorter")
    tally.add(Result(np.eye(5, dtype=np.float32)[answers]), labels.tolist())
    remark = tally.remark(open_dataset(tmp_path / "set.npz"), range(images), "PyTorch itself")
    assert (remark is not None) is said
    if remark:
        assert remark.startswith(f"PyTorch itself answers like chance ({right / images:.1%} of {images} images")
        assert all(option in remark for option in ("--mean", "--std", "--resize-to", "labels"))


def test_without_labels_nothing_is_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=random_images(40, side=2))
    tally = Classification(LinearHead(classes=5)).tally("shorter")
    tally.add(Result(np.zeros((40, 5), np.float32)), [None] * 40)
    assert tally.remark(open_dataset(tmp_path / "set.npz"), range(40), "PyTorch itself") is None
