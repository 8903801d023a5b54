"""The options that describe preprocessing: against each other, against the checkpoint's own, and what stays assumed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dmformer.errors import UsageError
from dmformer.model.checkpoint import Checkpoint
from dmformer.model.inputs import FIELDS, assumption
from dmformer.model.random_weights import random_checkpoint
from dmformer.pipeline.option_groups import PreprocessingOptions, parse_floats
from dmformer.pipeline.weights import with_preprocessing
from dmformer.preprocessing import IMAGENET, Preprocessing
from tests.model.small_models import small_config

OWN = random_checkpoint(small_config(), size=224)


def undescribed() -> Checkpoint:
    return replace(OWN, notes=assumption(OWN.preprocessing, FIELDS), assumed=FIELDS)


def chosen(checkpoint: Checkpoint, size: int | None = None, **given: Any) -> Checkpoint:
    given |= {name: parse_floats(name, given[name]) for name in ("mean", "std") if name in given}
    found = with_preprocessing(checkpoint, PreprocessingOptions(**given), None if size is None else (size, size))
    assert found is not None
    return found


@pytest.mark.parametrize("given", [{"resize_to": 384}, {"resize_to": 384, "resize": "shorter"}])
@pytest.mark.parametrize("own", [None, 232, 256])
def test_a_size_and_a_shorter_side_that_are_given_belong_together(own: int | None, given: dict[str, Any]) -> None:
    checkpoint = replace(OWN, preprocessing=Preprocessing(size=(224, 224), resize_to=own))
    found = chosen(checkpoint, 384, **given).preprocessing
    assert (found.size, found.resize_to) == ((384, 384), 384)
    assert found.resized_to((384, 384)) == found, "the export asks for the same size once more"
    assert chosen(checkpoint, 64, resize_to=73).preprocessing.shorter_side == 73
    scaled = chosen(checkpoint, 448, interpolation="bicubic").preprocessing.resize_to
    assert scaled == (None if own is None else 2 * own), "only the checkpoint's own value is scaled"


def test_another_way_of_resizing_drops_the_shorter_side_of_the_checkpoint() -> None:
    checkpoint = replace(OWN, preprocessing=Preprocessing(size=(224, 224), resize_to=232))
    for resize in ("exact", "letterbox"):
        assert chosen(checkpoint, resize=resize).preprocessing.resize_to is None
    with pytest.raises(UsageError, match="belongs to resize 'shorter'"):
        chosen(checkpoint, resize="exact", resize_to=300)
    with pytest.raises(UsageError, match="smaller than the crop"):
        chosen(checkpoint, 320, resize_to=256)


@settings(max_examples=60, deadline=None)
@given(mean=st.tuples(*[st.floats(0.01, 1)] * 3), std=st.tuples(*[st.floats(0.04, 1)] * 3))
def test_values_of_pixels_are_told_from_values_of_zero_to_one(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    def text(values: tuple[float, ...], factor: float) -> str:
        return ",".join(str(value * factor) for value in values)

    found = chosen(OWN, mean=text(mean, 1), std=text(std, 1)).preprocessing
    assert (found.mean, found.std) == (mean, std)
    for values in (
        {"mean": text(mean, 255), "std": text(std, 255)},
        {"mean": text(mean, 255)},
        {"std": text(std, 255)},
        {"mean": "0,0,0", "std": "255,255,255"},
    ):
        if max(mean) * 255 <= 2 and "std" not in values:
            continue
        with pytest.raises(UsageError, match="divide both by 255"):
            chosen(OWN, None, **values)
    with pytest.raises(UsageError, match="divided by 255 twice"):
        chosen(OWN, mean=text(mean, 1 / 255), std=text(std, 0.7 / 255))
    with pytest.raises(ValidationError, match="divide both by 255"):
        Preprocessing(size=(32, 32), mean=(127.5,), std=(127.5,), channel_order="grey")


@pytest.mark.parametrize("own", [IMAGENET, Preprocessing(size=(224, 224), mean=(0.1, 0.2, 0.3))])
def test_only_means_that_nobody_gave_follow_the_order_of_the_channels(own: Preprocessing) -> None:
    assumed = FIELDS if own is IMAGENET else ()
    checkpoint = replace(OWN, preprocessing=own, notes=assumption(own, assumed), assumed=assumed)
    found = chosen(checkpoint, channel_order="bgr")
    there = found.preprocessing
    assert (there.mean, there.std) == ((own.mean[::-1], own.std[::-1]) if assumed else (own.mean, own.std))
    assert not assumed or "mean 0.406,0.456,0.485" in found.notes[0]
    assert chosen(found, channel_order="rgb").preprocessing.mean in (own.mean, there.mean)
    given_too = chosen(checkpoint, channel_order="bgr", mean="0.1,0.2,0.4").preprocessing
    assert given_too.mean == (0.1, 0.2, 0.4)
    assert chosen(checkpoint, channel_order="rgb").preprocessing == own


GIVEN: dict[str, Any] = {
    "mean": "0.1,0.1,0.1",
    "std": "0.3,0.3,0.3",
    "resize": "letterbox",
    "interpolation": "bicubic",
    "channel_order": "bgr",
}


@settings(max_examples=40, deadline=None)
@given(names=st.sets(st.sampled_from(sorted(GIVEN))), size=st.sampled_from([None, 64]))
def test_the_note_names_what_is_still_assumed_and_nothing_else(names: set[str], size: int | None) -> None:
    found = chosen(undescribed(), size, **{name: GIVEN[name] for name in names})
    if not names:
        assert found.notes == assumption(OWN.preprocessing, FIELDS)
        return
    (note,) = found.notes
    assert "ImageNet" not in note
    for name in (*GIVEN, "size"):
        given_now = name in names or (name == "size" and size is not None)
        assert (f" {name} " in note) != given_now, (name, note)
    assert ("fill 114" in note) == ("resize" in names), "padding has an effect for a letterbox alone"


def test_nothing_is_assumed_where_everything_is_given() -> None:
    assert chosen(undescribed(), 64, **{**GIVEN, "resize": "exact"}).notes == ()
    assert chosen(undescribed(), 64, **{**GIVEN, "resize": "shorter", "resize_to": 73}).notes == ()
