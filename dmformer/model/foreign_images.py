"""How other programs say what becomes of images, as fields of `dmformer.preprocessing.Preprocessing`.

Only what is certain is given; what these fields cannot say is left open, and stays among what is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from dmformer.geometry import TOTAL_STRIDE

TO_UNIT = "to unit"
"""Key of the remark that values were converted."""
CONVERTED = "mean and std are of values from 0 to 255: divided by 255"
PILLOW = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of resampling filters."""
SIDES = ("input_size", "img_size", "image_size", "imgsz", "input_resolution", "test_input_size", "val_input_size")
_NO_CROP_FROM = 384
"""ConvNeXt's images of this side and more are warped to the square, not cropped."""

_MOST = 1e6

Fields = dict[str, Any]


def images_of_options(document: Mapping[str, Any]) -> Fields:
    """Of timm's ``pretrained_cfg``, mmengine's ``data_preprocessor``, or options side by side."""
    nested = (document.get(key) for key in ("pretrained_cfg", "default_cfg", "data_preprocessor"))
    said = next((part for part in nested if isinstance(part, Mapping)), document)
    # Earlier versions of timm wrote the same fields without a name for them.
    if "crop_pct" in said and "input_size" in said:
        return _timm(said)
    return {**_side(document), **_size_and_crop(said), **_values(said), **_order(said), **_filter(said)}


def _timm(said: Mapping[str, Any]) -> Fields:
    """Of a centre crop of a square, the usual evaluation; nothing for what timm does otherwise."""
    shape, mode = said.get("input_size"), said.get("crop_mode", "center")
    cropped, values = _size_and_crop(said), _values(said)
    if not (isinstance(shape, list) and len(shape) == 3 and "resize_to" in cropped and values and mode == "center"):
        return {}
    return {**cropped, **values, "channel_order": "grey" if shape[0] == 1 else "rgb", **_filter(said)}


def _side(said: Mapping[str, Any]) -> Fields:
    sizes = (_square(said[key]) for key in SIDES if key in said)
    return next(({"size": (side, side)} for side in sizes if side), {})


def _size_and_crop(said: Mapping[str, Any]) -> Fields:
    """A side, and of which shorter side it is the centre, where ``crop_pct`` says that."""
    sized, ratio = _side(said), said.get("crop_pct")
    if not sized or not _is_number(ratio) or not 0.1 < ratio <= 1 or said.get("crop_mode", "center") != "center":
        return sized
    return {**sized, "resize": "shorter", "resize_to": math.floor(sized["size"][0] / ratio)}  # timm rounds down


def _values(said: Mapping[str, Any], factor: float = 1 / 255) -> Fields:
    """Mean and deviation, of values from 0 to 1 that pixels times ``factor`` would be."""
    mean, std = _channels(said.get("mean")), _channels(said.get("std"))
    if not mean or not std or len(mean) != len(std):
        return {}
    in_pixels = max(mean) > 1 and min(std) > 1
    scale = 1 / 255 if in_pixels else 1 / (255 * factor)
    found: Fields = {"mean": [round(m * scale, 6) for m in mean], "std": [round(s * scale, 6) for s in std]}
    found |= {"channel_order": "grey"} if len(mean) == 1 else {}
    return {**found, TO_UNIT: CONVERTED} if scale != 1 else {"mean": mean, "std": std, **found}


def _order(said: Mapping[str, Any]) -> Fields:
    """Of mmcv, which reads BGR: whether a network is given RGB."""
    turned = next((said[key] for key in ("to_rgb", "bgr_to_rgb") if isinstance(said.get(key), bool)), None)
    if turned is None or len(_channels(said.get("mean")) or ()) != 3:
        return {}
    return {"channel_order": "rgb" if turned else "bgr"}


def _filter(said: Mapping[str, Any]) -> Fields:
    name = said.get("interpolation")
    return {"interpolation": name} if name in PILLOW.values() else {}


def images_of_processor(said: Mapping[str, Any]) -> Fields:
    """Of transformers' image processors."""
    found = {**_resizing(said), **_normalizing(said)}
    resample = said.get("resample")
    if isinstance(resample, int) and resample in PILLOW and said.get("do_resize", True):
        found["interpolation"] = PILLOW[resample]
    return found


def _resizing(said: Mapping[str, Any]) -> Fields:
    """The size that comes out, and how: warped, or cropped from the centre of what was resized by its shorter side."""
    if not said.get("do_resize", True):
        return {}
    size = said.get("size")
    shortest = size.get("shortest_edge") if isinstance(size, Mapping) else size
    exact = _square(size if not isinstance(size, Mapping) else [size.get("height"), size.get("width")])
    crop = said.get("crop_size")
    cropped = _square([crop.get("height"), crop.get("width")] if isinstance(crop, Mapping) else crop)
    if said.get("do_center_crop") and crop is not None:
        if not cropped or not isinstance(shortest, int) or isinstance(shortest, bool):
            return {}
        return {"size": (cropped, cropped), "resize": "shorter", "resize_to": shortest}
    if _is_number(said.get("crop_pct")) and (side := _square(shortest)):
        if side >= _NO_CROP_FROM:
            return {"size": (side, side), "resize": "exact"}
        return {"size": (side, side), "resize": "shorter", "resize_to": int(side / said["crop_pct"])}
    return {"size": (exact, exact), "resize": "exact"} if exact and not said.get("do_center_crop") else {}


def _normalizing(said: Mapping[str, Any]) -> Fields:
    """Mean and deviation of values from 0 to 1, whatever the processor multiplies pixels by."""
    factor = said.get("rescale_factor", 1 / 255) if said.get("do_rescale", True) else 1.0
    if not _is_number(factor) or not factor > 0:
        return {}
    near = 1 / 255 if math.isclose(factor, 1 / 255, rel_tol=1e-6) else factor
    flipped = said.get("do_flip_channel_order") is True
    if said.get("do_normalize", True) is False or (flipped and "image_mean" not in said):
        found = _values({"mean": [0.0] * 3, "std": [1.0] * 3}, near)
        return {**found, "channel_order": "bgr" if flipped else "rgb"} if found else {}
    found = _values({"mean": said.get("image_mean"), "std": said.get("image_std")}, near)
    # Which comes first, the flip or the mean, differs from processor to processor.
    return {} if flipped else found


def _channels(value: object) -> list[float] | None:
    """One finite number for each of one or three channels; else None."""
    values = value if isinstance(value, list | tuple) else []
    return list(values) if len(values) in (1, 3) and all(map(_is_number, values)) else None


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_MOST < value < _MOST


def _square(value: object) -> int | None:
    """The side of a square that a network takes: of a number, or of sides, the channels in front."""
    sides = list(value) if isinstance(value, list | tuple) else [value]
    side = sides[-1] if sides else None
    if not isinstance(side, int) or isinstance(side, bool) or side < TOTAL_STRIDE or side % TOTAL_STRIDE:
        return None
    return side if all(other == side for other in sides[-2:]) else None
