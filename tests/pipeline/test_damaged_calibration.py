"""Damaged images in a calibration set: skipped, said once, and not counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmformer.calibration.ranges import load_ranges
from dmformer.data.open import open_unlabelled
from dmformer.model.checkpoint import Checkpoint
from dmformer.pipeline.calibrating import calibration_set, images_to_scan, overlap
from dmformer.pipeline.options import Int8Options
from dmformer.pipeline.reference import make_golden
from dmformer.preprocessing import Preprocessing
from tests.support import CLASSES, Notes, invoke, one_line, random_images


def test_a_damaged_image_is_skipped_said_once_and_not_counted(tmp_path: Path) -> None:
    for number in range(40):
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / f"{number:02}.png")
    (tmp_path / "07.png").write_bytes(b"damaged")
    notes = Notes()
    dataset, images = calibration_set(
        Preprocessing(size=(8, 8)), None, None, Int8Options(calibration=tmp_path, images=40), notes
    )
    assert images.count == 39
    for _ in range(2):
        assert sum(len(batch) for batch in images.batches()) == 39
    assert sum("07.png" in note for note in notes.said) == 1
    scanned = images_to_scan(
        Preprocessing(size=(8, 8)), None, None, Int8Options(calibration=tmp_path, images=40), notes
    )
    assert scanned is not None and scanned.count == 39
    assert sum("07.png" in note for note in notes.said) == 2, "each of the two says it once"
    assert overlap(dataset, open_unlabelled(tmp_path)) == 39


def test_golden_samples_without_labels_say_which_images_are_damaged(checkpoint: Checkpoint, tmp_path: Path) -> None:
    for number, pixels in enumerate(random_images(4)):
        Image.fromarray(pixels).save(tmp_path / f"{number:02}.png")
    (tmp_path / "02.png").write_bytes(b"damaged")
    notes = Notes()
    samples = open_unlabelled(tmp_path)
    golden = make_golden(checkpoint.build(), samples, 4, checkpoint.preprocessing, notes, strange=False)
    assert golden.names == ("00.png", "01.png", "03.png")
    (said,) = notes.said
    assert said.startswith("golden samples: skipped 1 unreadable images: 02.png (")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--images", "4", "--ranges", "absent.json"), "absent.json"),
        (("--images", "4", "--plan", "absent.json"), "absent.json"),
    ],
)
def test_what_int8_needs_is_looked_at_before_the_network_runs(
    given: tuple[str, ...],
    said: str,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ran(*_: object) -> None:
        raise AssertionError("the network was built first")

    monkeypatch.setattr(Checkpoint, "build", ran)
    for number, pixels in enumerate(random_images(4)):
        Image.fromarray(pixels).save(tmp_path / f"{number:02}.png")
    code, _, err = invoke(capsys, "export", weights, "--int8", "--calibration", tmp_path, *given)
    assert code == 2
    assert said in one_line(err)


@pytest.mark.parametrize("option", ["--calibration", "--data"])
def test_an_int8_export_goes_on_without_the_damaged_image(
    option: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    for number, pixels in enumerate(random_images(20)):
        place = folder / f"class {number % CLASSES}" if option == "--data" else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number:02}.png")
    (damaged,) = folder.rglob("07.png")
    damaged.write_bytes(damaged.read_bytes()[:99])
    asked = ("--int8", option, folder, "--no-cache", "-o", tmp_path / "out")
    loose = ("--min-sqnr", "1", "--min-agreement", "0", "--max-drop", "100")
    code, out, err = invoke(capsys, "export", weights, *asked, *loose, "--json")
    assert code == 0, err
    assert err.count("skipped 1 unreadable") == 1
    assert err.count("07.png (") == 1
    assert "images: 20 calibration images; 256 were asked for; 256 or more give steadier ranges" in err
    (bundle,) = json.loads(out)["bundles"]
    assert bundle["data"].startswith("images" if option == "--data" else "golden samples")
    assert option != "--data" or bundle["images"] == 19
    ranges = tmp_path / "ranges.json"
    code, _, err = invoke(capsys, "calibrate", weights, "--calibration", folder, "--images", "20", "-o", ranges)
    assert code == 0, err
    assert load_ranges(ranges).count == 19
