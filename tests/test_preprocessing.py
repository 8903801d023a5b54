"""The image -> tensor function: against plain formulas, on odd sizes, and with parameters that do not go together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from dmformer.errors import DataError, UsageError
from dmformer.preprocessing import IMAGENET, Preprocessing, fit_batch, pixels_of, preprocess, preprocess_batch

GREY = {"mean": (0.5,), "std": (0.5,), "channel_order": "grey"}
PLAIN = {"mean": (0, 0, 0), "std": (1, 1, 1)}


def spec(size: tuple[int, int], **values: object) -> Preprocessing:
    return Preprocessing.model_validate({"size": size, **values})


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    "values",
    [
        {"size": (0, 1)},
        {"size": (1, 8193)},
        {"mean": (0.5,)},
        {"mean": (0.5, 0.5), "std": (1, 1)},
        {"std": (1, 0, 1)},
        {"std": (1, float("nan"), 1)},
        {"mean": (0, float("inf"), 0)},
        {"channel_order": "grey"},
        {"mean": (0.5,), "std": (0.5,)},
        {"fill": 256},
        {"resize": "exact", "resize_to": 256},
        {"resize_to": 8},
        {"unknown": 1},
    ],
)
def test_parameters_that_do_not_go_together_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Preprocessing.model_validate({"size": (16, 16), **values})


def test_parameters_survive_json() -> None:
    assert Preprocessing.model_validate_json(IMAGENET.model_dump_json()) == IMAGENET


def test_imagenet_resizes_to_256() -> None:
    assert IMAGENET.shorter_side == 256
    assert IMAGENET.shape == (3, 224, 224)


def test_resized_to_keeps_or_scales_the_shorter_side() -> None:
    assert IMAGENET.resized_to(320).size == (320, 320)
    assert IMAGENET.resized_to(320).resize_to is None
    assert spec((224, 224), resize_to=232).resized_to((448, 224)).resize_to == 464


@pytest.mark.parametrize("size", [0, -3, 9000, (224, 0)])
def test_resized_to_refuses_impossible_sizes(size: int | tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="input size"):
        spec((224, 224), resize_to=232).resized_to(size)


SIDES = st.integers(1, 70)


@settings(max_examples=60, deadline=None)
@given(
    height=SIDES,
    width=SIDES,
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    resize=st.sampled_from(["exact", "shorter", "letterbox"]),
    interpolation=st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]),
    channels=st.sampled_from([0, 1, 3, 4]),
    order=st.sampled_from(["rgb", "bgr", "grey"]),
)
def test_any_image_gives_the_shape_dtype_and_range(
    height: int,
    width: int,
    size: tuple[int, int],
    resize: str,
    interpolation: str,
    channels: int,
    order: str,
) -> None:
    image = noise(height, width, channels) if channels else noise(height, width)
    extra: dict[str, Any] = GREY if order == "grey" else {"mean": (0.5,) * 3, "std": (0.5,) * 3, "channel_order": order}
    before = image.copy()
    tensor = preprocess(image, spec(size, resize=resize, interpolation=interpolation, **extra))
    assert tensor.shape == (1 if order == "grey" else 3, *size)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    assert tensor.flags.owndata
    assert tensor.min() >= -1
    assert tensor.max() <= 1
    assert np.array_equal(image, before)


def test_equals_the_plain_formula_without_resizing() -> None:
    image = noise(9, 7, 3)
    tensor = preprocess(image, spec((9, 7), resize="exact"))
    for channel, (mean, std) in enumerate(zip(IMAGENET.mean, IMAGENET.std, strict=True)):
        expected = (image[:, :, channel].astype(np.float64) / 255 - mean) / std
        np.testing.assert_allclose(tensor[channel], expected, atol=1e-6)


def test_halving_with_antialiasing_weighs_as_a_triangle_does() -> None:
    # Bilinear at half size is a triangle over four pixels: 1 3 3 1, over 8, in each direction.
    image = noise(12, 12)
    weights = np.array([1, 3, 3, 1]) / 8
    block = image[3:7, 3:7].astype(np.float64)
    tensor = preprocess(image, spec((6, 6), resize="exact", mean=(0,), std=(1,), channel_order="grey"))
    assert tensor[0, 2, 2] * 255 == pytest.approx(weights @ block @ weights, abs=1.01)


def test_bgr_reverses_the_channels_before_mean_and_std() -> None:
    image = noise(4, 4, 3)
    tensor = preprocess(image, spec((4, 4), resize="exact", channel_order="bgr", mean=(0.1, 0.2, 0.3), std=(1, 1, 1)))
    np.testing.assert_allclose(tensor[0], image[:, :, 2] / 255 - 0.1, atol=1e-6)
    np.testing.assert_allclose(tensor[2], image[:, :, 0] / 255 - 0.3, atol=1e-6)


def test_grey_is_repeated_and_comes_back_the_same() -> None:
    grey = noise(5, 6)
    colour = preprocess(grey, spec((5, 6), resize="exact", **PLAIN))
    assert np.array_equal(colour[0], colour[2])
    back = preprocess(np.repeat(grey[:, :, None], 3, axis=2), spec((5, 6), resize="exact", **GREY))
    assert np.array_equal(back, preprocess(grey[:, :, None], spec((5, 6), resize="exact", **GREY)))


def test_rgb_becomes_grey_by_the_luma_weights() -> None:
    image = noise(5, 5, 3)
    tensor = preprocess(image, spec((5, 5), resize="exact", mean=(0,), std=(1,), channel_order="grey"))
    np.testing.assert_allclose(tensor[0] * 255, image @ np.array([0.299, 0.587, 0.114]), atol=0.51)


@pytest.mark.parametrize(
    ("height", "width", "top", "left"),
    # Half way between two pixels rounds to the even one, as torchvision's CenterCrop does.
    [(9, 11, 2, 4), (11, 9, 4, 2), (9, 9, 2, 2), (10, 9, 3, 2), (9, 100, 2, 48)],
)
def test_centre_crop_of_an_image_that_needs_no_resize(height: int, width: int, top: int, left: int) -> None:
    image = noise(height, width, 3)
    tensor = preprocess(image, spec((4, 4), resize_to=9, **PLAIN))
    expected = image[top : top + 4, left : left + 4].transpose(2, 0, 1) / np.float32(255)
    assert np.array_equal(tensor, expected)


def test_shorter_side_truncates_the_longer_one() -> None:
    # 10 * 17 / 11 = 15.45 and 10 * 19 / 11 = 17.27: torchvision gives 15 and 17.
    for longer, resized in ((17, 15), (19, 17)):
        image = noise(11, longer, 3)
        whole = np.asarray(Image.fromarray(image).resize((resized, 10), Image.Resampling.BILINEAR))
        left = round((resized - 8) / 2)
        expected = whole[1:9, left : left + 8].transpose(2, 0, 1) / np.float32(255)
        assert np.array_equal(preprocess(image, spec((8, 8), resize_to=10, **PLAIN)), expected)


def test_letterbox_centres_the_image_and_fills_the_rest() -> None:
    image = np.full((4, 8, 3), 200, dtype=np.uint8)
    pixels = preprocess(image, spec((8, 8), resize="letterbox", fill=10, **PLAIN)) * 255
    np.testing.assert_allclose(pixels[:, 2:6], 200, rtol=1e-6)
    np.testing.assert_allclose(pixels[:, [0, 1, 6, 7]], 10, rtol=1e-6)


def test_batch_equals_single_images() -> None:
    images = [noise(30, 20, 3), noise(17, 41), noise(8, 8, 4)]
    small = IMAGENET.resized_to(16)
    batch = preprocess_batch(images, small)
    assert batch.shape == (3, 3, 16, 16)
    for tensor, image in zip(batch, images, strict=True):
        assert np.array_equal(tensor, preprocess(image, small))
    assert preprocess_batch([], small).shape == (0, 3, 16, 16)


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_other_arrays_are_refused(image: NDArray[Any]) -> None:
    with pytest.raises(DataError) as caught:
        preprocess(image, IMAGENET)
    assert caught.value.hint


def test_an_extreme_aspect_ratio_does_not_exhaust_memory() -> None:
    with pytest.raises(DataError, match="elongated"):
        preprocess(np.zeros((1, 1_000_000), np.uint8), IMAGENET)
    with pytest.raises(DataError, match="elongated"):
        preprocess(np.zeros((1_000_000, 1), np.uint8), spec((224, 224), resize="exact"))


@pytest.mark.parametrize("order", ["rgb", "bgr", "grey"])
@pytest.mark.parametrize("resize", ["exact", "shorter", "letterbox"])
def test_pixels_are_preprocessing_without_its_normalization(order: Any, resize: Any) -> None:
    channels = 1 if order == "grey" else 3
    spec = Preprocessing(
        size=(32, 48),
        resize=resize,
        channel_order=order,
        mean=(0.1, 0.5, 0.9)[:channels],
        std=(0.2, 0.3, 0.4)[:channels],
    )
    images = [noise(*shape) for shape in ((31, 57, 3), (57, 31, 1), (40, 40, 4), (5, 3, 3))]
    pixels, tensors = fit_batch(images, spec), preprocess_batch(images, spec)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (len(images), 32, 48, channels)
    mean, std = (np.asarray(values, np.float32) for values in (spec.mean, spec.std))
    expected = (pixels / np.float32(255) - mean) / std
    assert np.array_equal(expected.transpose(0, 3, 1, 2), tensors)
    assert np.array_equal(pixels_of(tensors, spec), pixels.transpose(0, 3, 1, 2)), "the normalization is undone exactly"


def test_what_no_picture_gives_is_no_picture() -> None:
    tensors = preprocess_batch([np.zeros((32, 32, 3), np.uint8)], Preprocessing(size=(32, 32)))
    for wrong in (tensors + np.float32(0.001), tensors - 1, np.full_like(tensors, np.nan)):
        with pytest.raises(UsageError, match="no such picture"):
            pixels_of(wrong, Preprocessing(size=(32, 32)))
