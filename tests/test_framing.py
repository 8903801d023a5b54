"""Pictures that go through a network in windows, or at a size of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import dmformer
from dmformer.errors import DataError, UsageError
from dmformer.framing import Framing, kept_ratio, starts
from dmformer.geometry import placement
from dmformer.preprocessing import Preprocessing
from dmformer.tasks.base import Result
from tests.conftest import Exported, Segmented
from tests.support import Command, invoke, one_line

SPEC = Preprocessing(size=(64, 96), resize="letterbox")


def pooled(images: Sequence[NDArray[np.uint8]], spec: Preprocessing) -> Result:
    """A network that looks at a place alone: the mean of every 4x4 pixels, as planes."""
    del spec
    cells = [image.reshape(image.shape[0] // 4, 4, image.shape[1] // 4, 4, 3).mean((1, 3)) for image in images]
    return Result(np.stack(cells).transpose(0, 3, 1, 2).astype(np.float32))


@pytest.mark.parametrize("overlap", [0.0, 0.33, 0.9])
@pytest.mark.parametrize("size", [(64, 96), (65, 96), (128, 200), (301, 97)], ids=str)
def test_averaged_windows_are_the_whole_where_a_network_looks_at_places_alone(
    size: tuple[int, int], overlap: float
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    outputs = Framing(SPEC, overlap=overlap).result(image, pooled).outputs
    sides = [-(-side // 32) * 32 for side in size]
    padded = np.pad(image, ((0, sides[0] - size[0]), (0, sides[1] - size[1]), (0, 0)), "edge")
    np.testing.assert_allclose(outputs, pooled([padded], SPEC).outputs, atol=1e-3)


def test_windows_overlap_as_asked_and_end_with_the_side() -> None:
    """mmsegmentation's crops of 512 with a stride of 341 are here 320: a multiple of 32."""
    assert starts(512, 512, 0.33) == (0,)
    assert starts(1024, 512, 0.0) == (0, 512)
    assert starts(1056, 512, 0.33) == (0, 320, 544)


@pytest.mark.parametrize(
    ("picture", "size"),
    [((512, 683), (512, 704)), ((683, 512), (704, 512)), ((100, 100), (512, 512)), ((90, 900), (224, 2048))],
)
def test_an_open_input_keeps_the_ratio_of_the_sides(picture: tuple[int, int], size: tuple[int, int]) -> None:
    """mmsegmentation's test: short side 512, at most 2048 long."""
    assert kept_ratio(picture, (512, 512)) == size


def test_a_picture_in_windows_lies_at_the_top_left() -> None:
    assert placement((65, 99), (96, 128), Framing(SPEC, overlap=0.3).resize).height == 65


def test_a_picture_smaller_than_a_tile_is_named() -> None:
    with pytest.raises(DataError, match=r"street.png: 60x200 is smaller than a tile of 64x96"):
        Framing(SPEC, overlap=0.0).result(np.zeros((60, 200, 3), np.uint8), pooled, "street.png")


@pytest.mark.parametrize("overlap", [-0.1, 0.95, float("nan")])
def test_windows_that_cannot_overlap_so_are_refused(overlap: float) -> None:
    with pytest.raises(UsageError, match="cannot overlap"):
        Framing(SPEC, overlap=overlap)


def test_a_large_picture_is_answered_and_verified_in_tiles(
    segmented: Segmented, segmenter_weights: Path, command: Command, tmp_path: Path
) -> None:
    random = np.random.default_rng(2)
    images = random.integers(0, 256, (2, 80, 150, 3), np.uint8)
    np.savez(tmp_path / "large.npz", images=images, masks=random.integers(0, 5, (2, 80, 150), np.uint8))
    answers = []
    for argmax in (False, True):
        with dmformer.load(segmented("onnxruntime", argmax), tile=0.3) as segmenter:
            answers += segmenter.predict(images[0])
    assert answers[0].classes.shape == (80, 150)
    assert np.array_equal(answers[0].classes, answers[1].classes), "scores are averaged, whatever the graph decides"
    given = ("--data", tmp_path / "large.npz", "--weights", segmenter_weights, "--tile=0.3")
    out, _ = command("verify", segmented(), *given, "--json")
    record = json.loads(out)
    assert record["verified"]
    assert record["images"] == 2
    assert set(record["figures"]) == {"miou", "aacc", "macc"}


def test_tiles_are_for_tasks_whose_answers_have_places(
    exported: Exported, segmented: Segmented, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.zeros((40, 200, 3), np.uint8)).save(tmp_path / "small.png")
    for bundle, said in (
        (exported("onnxruntime"), "--tile does nothing for classification"),
        (segmented(), "40x200 is smaller than a tile of 64x64"),
    ):
        code, _, err = invoke(capsys, "predict", bundle, tmp_path / "small.png", "--tile", "0.33")
        assert (code, said in one_line(err)) == (2, True), err


def test_windows_are_timed_from_pictures(
    segmented: Segmented, tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 150, 3), np.uint8)).save(photo)
    given = (
        "--tile",
        "0.3",
        "--image",
        photo,
        "--against",
        "none",
        "--duration",
        "0.05",
        "--launches",
        "1",
        "--warmup=0",
    )
    out, _ = command("bench", segmented("onnxruntime", True), *given, "--boundary", "file", "--no-layers", "--json")
    document = json.loads(out)
    assert (document["settings"]["tile"], len(document["results"])) == (0.3, 1)
    code, _, err = invoke(capsys, "bench", segmented(), *given)
    assert (code, "--tile is timed from pictures" in one_line(err)) == (2, True), err
