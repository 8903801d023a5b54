"""Changed answers: which, from where to where, and by class."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dmformer.bundle import Bundle
from dmformer.evaluation.flips import MOST_IMAGES, FlipCount, find_flips
from dmformer.progress import Silent
from dmformer.tasks.base import Result
from tests.conftest import Exported, Segmented
from tests.documents import make_accuracy, make_document, make_result
from tests.support import KINDS, Command, flips_of, invoke, one_line

IMAGE = np.zeros((4, 4, 3), np.uint8)


def one_hot(classes: list[int], scale: float = 1.0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.eye(3, dtype=np.float32)[classes] * np.float32(scale)


def test_what_changed() -> None:
    reference, found = one_hot([0, 1, 2, 0]), one_hot([0, 2, 2, 2])
    reference[1] *= 5
    flips = flips_of("set", reference, found, np.array([0, 1, 2, 2]), lambda _: IMAGE)
    assert (flips.images, flips.count) == (4, 2)
    assert [(flip.before, flip.after, flip.label) for flip in flips.shown] == [(1, 2, 1), (0, 2, 2)]
    assert flips.confusion == ((1, 2, 1), (0, 2, 1))
    assert [(c.index, c.before_right, c.after_right) for c in flips.classes] == [(0, 1, 1), (1, 1, 0), (2, 1, 2)]


def test_one_class_changes_nothing() -> None:
    logits = np.array([[1.0], [0.0]], np.float32)
    assert flips_of("set", logits, -logits, np.array([0, 0]), lambda _: IMAGE).count == 0


def test_no_more_images_than_a_page_can_hold() -> None:
    flips = flips_of("set", one_hot([0] * 100), one_hot([1] * 100), None, lambda _: IMAGE)
    assert (flips.count, len(flips.shown), flips.classes) == (100, MOST_IMAGES, ())


def test_an_equal_engine_changes_nothing(exported: Exported) -> None:
    assert find_flips(Bundle.load(exported("onnxruntime")), None, Silent()).count == 0


def test_the_command_line(exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "bench.json", tmp_path / "page.html"
    source.write_text(make_document(make_result(accuracy=make_accuracy())).to_json())
    bundle = exported("onnxruntime")
    code, stdout, stderr = invoke(capsys, "report", out, source, bundle, "--markdown", "--csv", "--json")
    assert code == 0, stderr
    document = json.loads(stdout)
    assert (document["schema"], document["bundles"][0]["changed"]) == ("dmformer.report/2", 0)
    assert {path.name for path in tmp_path.glob("page.*")} == {"page.html", "page.md", "page.csv"}
    assert str(bundle.parent) not in out.read_text()


def test_wrong_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.json").write_text('{"schema": "dmformer.export/2"}')
    for source, message in (("nothing.json", "does not exist"), ("other.json", "its schema is 'dmformer.export/2'")):
        code, _, stderr = invoke(capsys, "report", tmp_path / "page.html", tmp_path / source)
        assert code == 2
        assert message in one_line(stderr)
    good = tmp_path / "bench.json"
    good.write_text(make_document().to_json())
    code, _, stderr = invoke(capsys, "report", tmp_path / "nowhere" / "page.html", good)
    assert code == 2
    assert "cannot be written" in one_line(stderr)
    assert not list(tmp_path.glob("*.html"))


def test_the_pictures_that_changed_most_are_shown_with_truth_and_both_answers(segmented: Segmented) -> None:
    bundle = Bundle.load(segmented())
    manifest, golden = bundle.manifest, bundle.golden()
    count = FlipCount(manifest.task, manifest.preprocessing.resize)
    changed = golden.outputs.copy()
    for row, part in enumerate((0.0, 0.5, 0.25)):  # of the rows of each picture
        changed[row, :, : int(changed.shape[2] * part)] *= -1
    count.add(golden.outputs, Result(changed), golden.targets)
    flips = count.flips("golden", lambda index: golden.images[index], manifest.legend)
    assert (flips.images, flips.count, flips.decisions) == (3, 2, 3 * 64 * 64)
    assert flips.changed == sum(pair[2] for pair in flips.confusion) > 0
    assert all(
        np.array_equal(flip.image, golden.images[index]) for flip, index in zip(flips.shown, (1, 2), strict=True)
    )
    assert flips.shown[0].share > flips.shown[1].share
    for flip in flips.shown:
        assert [view.title for view in flip.views] == ["truth", "PyTorch", "engine"]
        assert all(view.pixels.shape == flip.image.shape for view in flip.views)
        assert not np.array_equal(flip.views[1].pixels, flip.views[2].pixels)


def test_a_report_shows_what_each_class_lost(
    segmented: Segmented, masked: Path, command: Command, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    command("report", page, segmented(), "--data", masked)
    text = page.read_text()
    assert "IoU of each class" in text
    assert all(f">{name}<" in text for name in KINDS)
    assert "of the pixels on" in text
