"""Damaged images in a calibration set: skipped, said once, and not counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from dmformer.data.open import open_unlabelled
from dmformer.pipeline.calibrating import calibration_set, images_to_scan, overlap
from dmformer.pipeline.options import Int8Options
from dmformer.preprocessing import Preprocessing
from tests.support import Notes


def test_a_damaged_image_is_skipped_said_once_and_not_counted(tmp_path: Path) -> None:
    for number in range(40):
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / f"{number:02}.png")
    (tmp_path / "07.png").write_bytes(b"damaged")
    notes = Notes()
    dataset, images = calibration_set(
        Preprocessing(size=(8, 8)), None, False, Int8Options(calibration=tmp_path, images=40), notes
    )
    assert images.count == 39
    for _ in range(2):
        assert sum(len(batch) for batch in images.batches()) == 39
    assert sum("07.png" in note for note in notes.said) == 1
    scanned = images_to_scan(
        Preprocessing(size=(8, 8)), None, False, Int8Options(calibration=tmp_path, images=40), notes
    )
    assert scanned is not None and scanned.count == 39
    assert sum("07.png" in note for note in notes.said) == 2, "each of the two says it once"
    assert overlap(dataset, open_unlabelled(tmp_path)) == 39
