"""A segmenter in an application: maps at the picture's size, the same from scores and from the graph, and overlays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dmformer
from dmformer.bundle import Bundle
from dmformer.data.images import load_image
from dmformer.errors import UsageError
from dmformer.evaluation.verify import verify
from tests.conftest import Exported, Segmented
from tests.support import KINDS, Command, invoke, one_line


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    return path


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_the_graph_s_map_is_that_of_the_scores(segmented: Segmented, photo: Path, target: str) -> None:
    answers = []
    for argmax in (False, True):
        with dmformer.load(segmented(target, argmax)) as segmenter:
            assert isinstance(segmenter, dmformer.Segmenter)
            answers += segmenter.predict(photo)
    assert answers[0].names == KINDS
    assert answers[0].classes.shape == (64, 64)
    assert (answers[0].classes == answers[1].classes).mean() > 0.999


def test_only_the_map_is_copied_for_an_application(segmented: Segmented, photo: Path) -> None:
    with dmformer.Segmenter(segmented("onnxruntime", True)) as segmenter:
        result = segmenter._result([load_image(photo)])
    assert result.outputs.size == 0
    assert result.decisions is not None
    assert result.decisions.shape == (1, 64, 64)


@pytest.mark.parametrize("argmax", [False, True])
def test_the_proof_counts_pixels(segmented: Segmented, argmax: bool) -> None:
    bundle = Bundle.load(segmented("onnxruntime", argmax))
    proof = bundle.manifest.proof
    assert proof is not None
    largest = max(proof.comparisons, key=lambda one: one.images)
    assert (largest.images, largest.decisions) == (8, 8 * 64 * 64)
    assert set(largest.figures) == {"miou", "aacc", "macc"}
    assert len(largest.by_class) == len(KINDS)
    assert verify(bundle).passed


def test_an_overlay_is_drawn_with_its_legend(
    segmented: Segmented, photo: Path, command: Command, tmp_path: Path
) -> None:
    drawn = tmp_path / "drawn.png"
    for _ in range(2):  # what it wrote itself it writes again
        out, _ = command("predict", segmented(), photo, "--overlay", drawn, "--json")
    (answer,) = json.loads(out)["images"]
    assert answer["overlay"] == str(drawn)
    assert sum(answer["shares"].values()) == pytest.approx(1)
    with Image.open(drawn) as picture:
        assert picture.size[0] >= 64
        assert picture.size[1] > 64  # the legend is below
    (tmp_path / "all").mkdir()
    command("predict", segmented(), photo, drawn, "--overlay", tmp_path / "all")
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["drawn.overlay.png", "photo.overlay.png"]


def test_overlays_lose_nothing(
    segmented: Segmented, exported: Exported, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "holiday.png"
    other.write_bytes(photo.read_bytes())
    for bundle, places, said in (
        (segmented(), (photo, "--overlay", photo), "is an input"),
        (segmented(), (photo, "--overlay", other), "exists already"),
        (segmented(), (photo, "--overlay", "drawn.jpg"), "is no name of a PNG"),
        (segmented(), (photo, photo, "--overlay", "all"), "two images have one name"),
        (exported("onnxruntime"), (photo, "--overlay", "drawn.png"), "nothing is drawn for classification"),
    ):
        code, _, err = invoke(capsys, "predict", bundle, *places)
        assert (code, said in one_line(err)) == (2, True), err
    assert other.read_bytes() == photo.read_bytes()


def test_a_classifier_is_no_segmenter(exported: Exported, photo: Path) -> None:
    with dmformer.Segmenter(exported("onnxruntime")) as segmenter, pytest.raises(UsageError, match="classification"):
        segmenter.predict(photo)


def test_a_classifier_decides_without_a_map(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = invoke(capsys, "export", weights, "--argmax", "-o", tmp_path)
    assert code == 2
    assert "--argmax does nothing for classification" in one_line(err)
    assert not list(tmp_path.iterdir())


def test_a_crop_is_no_geometry_of_masks(
    segmenter_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = invoke(capsys, "export", segmenter_weights, "--resize", "shorter", "-o", tmp_path)
    assert code == 2
    assert "cuts off" in one_line(err)
