"""Segmentation: maps at the picture's size, and figures from one confusion matrix over the set."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from dmformer.data.dataset import IGNORED, Sample
from dmformer.errors import DataError, UsageError
from dmformer.geometry import placement
from dmformer.preprocessing import Preprocessing, preprocess
from dmformer.tasks.base import Legend, Result
from dmformer.tasks.overlay import boundaries, colours_of
from dmformer.tasks.segmentation import Segmentation, SemanticSegmentation
from dmformer.tasks.segmentation_heads import FpnHead
from tests.support import random_images

SIZE = (64, 96)
CLASSES = 5
SPECS = [Preprocessing(size=SIZE, resize="letterbox"), Preprocessing(size=SIZE, resize="exact")]
PICTURES = [(64, 96), (40, 30), (17, 200), (130, 131)]


def task(classes: int = CLASSES, threshold: float = 0.5) -> SemanticSegmentation:
    return SemanticSegmentation(FpnHead(classes=classes, threshold=threshold))


def scores(count: int, classes: int = CLASSES, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, classes, 16, 24)).astype(np.float32)


def legend(classes: int) -> Legend:
    return Legend(tuple(f"kind {index}" for index in range(classes)))


def upscaled(values: NDArray[np.float32], size: tuple[int, int]) -> torch.Tensor:
    return torch.nn.functional.interpolate(torch.from_numpy(values), size, mode="bilinear", align_corners=False)


def test_decisions_are_those_of_pytorchs_bilinear_resize() -> None:
    values = scores(3)
    expected = upscaled(values, SIZE).argmax(1).numpy()
    assert (task().decisions(values) == expected).mean() > 0.9999  # two scores may be equal up to rounding


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.resize)
@pytest.mark.parametrize("picture", PICTURES, ids=str)
def test_a_map_has_the_picture_s_size_and_its_geometry_is_undone(spec: Preprocessing, picture: tuple[int, int]) -> None:
    """An input painted by halves comes back as the halves of the picture, wherever it lies between padding."""
    height, width = picture
    image = np.zeros((height, width, 3), np.uint8)
    image[:, width // 2 :] = 255
    tensor = preprocess(image, spec)
    inputs = (tensor[0] > tensor[0].min() + 0.9 * np.ptp(tensor[0])).astype(np.float32)
    grid = inputs.reshape(16, 4, 24, 4).mean((1, 3))
    result = Result(np.stack([0.5 - grid, grid - 0.5])[None].astype(np.float32))
    (answer,) = task(2).answers(result, spec.resize, legend(2), [picture], 5)
    assert answer.classes.shape == picture
    assert answer.classes.dtype == np.uint8
    wrong = answer.classes != (image[..., 0] > 0)
    # Wrong at most beside the edge: one value of the grid there is a mean of both sides.
    step = 4 * width / placement(picture, SIZE, spec.resize).width + 1
    assert not wrong[:, np.abs(np.arange(width) - width / 2) > step].any()


def test_a_graph_s_own_map_is_read_by_the_nearest_pixel() -> None:
    values, spec = scores(1), SPECS[0]
    own = task().decisions(values)
    (whole,) = task().answers(Result(np.empty((1, 0), np.float32), own), spec.resize, legend(CLASSES), [SIZE], 5)
    assert np.array_equal(whole.classes, own[0])
    (half,) = task().answers(Result(values, own), spec.resize, legend(CLASSES), [(32, 48)], 5)
    assert np.array_equal(half.classes, own[0][1::2, 1::2])


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_one_plane_is_compared_with_the_threshold(threshold: float) -> None:
    """Ultralytics 24790: the arg max over one plane made everything background."""
    values = scores(1, classes=1)
    expected = torch.sigmoid(upscaled(values, SIZE))[:, 0].numpy() > threshold
    (answer,) = task(1, threshold).answers(Result(values), SPECS[0].resize, legend(1), [SIZE], 5)
    assert (answer.classes == expected).mean() > 0.9999
    assert answer.names == ("background", "kind 0")


def test_many_classes_need_more_than_a_byte() -> None:
    values = np.zeros((1, 300, 8, 8), np.float32)
    values[:, 299] = 1
    (answer,) = task(300).answers(Result(values), "exact", legend(300), [(9, 9)], 5)
    assert answer.classes.dtype == np.int32
    assert answer.shares == {"kind 299": 1.0}


@pytest.mark.parametrize("own", [False, True], ids=["scores", "map"])
def test_figures_are_those_of_scikit_learn_s_confusion_matrix(own: bool) -> None:
    random, spec, tally = np.random.default_rng(3), SPECS[0], task().tally(SPECS[0].resize)
    truth, answered = [], []
    for seed, picture in enumerate(PICTURES * 2):
        values = scores(1, seed=seed)
        result = Result(values, task().decisions(values) if own else None)
        # Class 3 is in no mask, class 4 in neither.
        values[:, 4] = -100
        result = Result(values, task().decisions(values) if own else None)
        mask = random.choice([IGNORED, 0, 1, 2], picture).astype(np.int16)
        tally.add(result, [mask])
        (answer,) = task().answers(result, spec.resize, legend(CLASSES), [picture], 5)
        truth.append(mask[mask != IGNORED])
        answered.append(answer.classes[mask != IGNORED])
    matrix = confusion_matrix(np.concatenate(truth), np.concatenate(answered), labels=range(CLASSES))
    right, rows, columns = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    overlap = right[:4] / (rows + columns - right)[:4] * 100
    expected = {
        "miou": overlap.mean(),
        "aacc": right.sum() / matrix.sum() * 100,
        "macc": (right[:3] / rows[:3]).mean() * 100,
    }
    assert tally.figures() == pytest.approx(expected, abs=1e-9)
    *there, absent = tally.by_class()
    assert there == pytest.approx(list(overlap), abs=1e-9)
    assert absent is None


def test_without_masks_or_with_all_ignored_there_are_no_figures() -> None:
    for masks in ([None], [np.full(SIZE, IGNORED, np.int16)]):
        tally = task().tally(SPECS[0].resize)
        tally.add(Result(scores(1)), masks)
        assert (tally.figures(), tally.by_class()) == ({}, ())


def test_a_mask_with_a_class_too_many_is_named() -> None:
    mask = np.full((8, 8), 7, np.int16)
    sample = Sample(random_images(1)[0], None, "street.png", mask)
    with pytest.raises(DataError, match=r"street.png: its mask holds class 7, .* 0 to 4"):
        task().target(sample, SPECS[0])


def test_what_cuts_pictures_is_refused() -> None:
    with pytest.raises(UsageError, match="cuts off"):
        task().answers(Result(scores(1)), "shorter", legend(CLASSES), [SIZE], 5)


def test_an_overlay_keeps_boundaries_sharp() -> None:
    classes = np.zeros((6, 6), np.uint8)
    classes[:, 3:] = 1
    answer = Segmentation(classes, ("ground", "thing"), colours_of(None, 2))
    picture = answer.overlay(np.full((6, 6, 3), 100, np.uint8), opacity=1.0)
    assert (picture[:, :2] == (0, 0, 0)).all()
    assert (picture[:, 2] == 255).all()
    assert (picture[:, 3:] == (128, 0, 0)).all()
    assert boundaries(classes).sum() == 6
    with pytest.raises(DataError, match="its classes are"):
        answer.overlay(np.zeros((5, 6, 3), np.uint8))


def test_the_error_of_a_drop_is_what_drawing_the_pictures_again_gives() -> None:
    random, count = np.random.default_rng(3), 120
    masks = random.integers(0, CLASSES, (count, 8, 8)).astype(np.int16)
    hard = random.uniform(0, 0.5, (count, 1, 1))
    answers = [
        np.where(random.uniform(size=masks.shape) < share * hard, (masks + 1) % CLASSES, masks).astype(np.int64)
        for share in (0.8, 1.0)
    ]

    def figures(rows: NDArray[np.int64]) -> list[tuple[float, NDArray[np.float64]]]:
        tallies = [task().tally("exact") for _ in answers]
        for tally, answer in zip(tallies, answers, strict=True):
            tally.add(Result(np.empty(0, np.float32), answer[rows]), list(masks[rows]))
        return [(tally.figures()["miou"], tally.by_image()) for tally in tallies]

    (_, before), (_, after) = figures(np.arange(count))
    drawn = [figures(random.integers(0, count, count)) for _ in range(100)]
    spread = np.std([one[0][0] - one[1][0] for one in drawn])
    assert np.sqrt(np.square(before - after).sum()) == pytest.approx(spread, rel=0.25)
