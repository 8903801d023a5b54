"""`config.json` beside weights: ours, or another program's, whose labels and image sizes help where they are plain.

Every tool calls its file so. What is not ours never stops loading: it is left aside, and that is said.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dmformer.geometry import TOTAL_STRIDE
from dmformer.model.config import ModelConfig
from dmformer.model.inputs import FIELDS, GREY
from dmformer.preprocessing import Preprocessing
from dmformer.reading import read_bounded
from dmformer.texts import is_plain

SIDECAR = "config.json"
PROCESSOR = "preprocessor_config.json"
MAX_JSON_BYTES = 2**20
PARTS = frozenset({"model", "preprocessing", "labels", "name"})
_NETWORK = frozenset(ModelConfig.model_fields)
_OWN_NETWORK = frozenset({"widths", "ffn_ratios", "gate_reduction", "stem_width", "dilations", "layer_scale"})
_OWN_IMAGES = frozenset(FIELDS) - {"mean", "std", "interpolation"}
_NAMES_OF_NETWORKS = ("architecture", "architectures", "model_type")


@dataclass(frozen=True)
class Foreign:
    """What another program's file says that helps.

    Attributes:
        labels: One for each class, in order.
        preprocessing: Of images, where it says so.
        given: The fields of ``preprocessing`` that the file gives; the others are defaults.
    """

    labels: tuple[str, ...] | None = None
    preprocessing: Preprocessing | None = None
    given: frozenset[str] = frozenset()

    @property
    def left(self) -> tuple[str, ...]:
        """The fields of ``preprocessing`` that the file does not give."""
        return tuple(name for name in FIELDS if name not in self.given)

    def without(self, labels: bool, preprocessing: bool) -> Foreign:
        """The same without what the user gives."""
        kept = Foreign() if preprocessing else self
        return replace(kept, labels=None if labels else self.labels)

    @property
    def note(self) -> str:
        """What was taken from the file, in words."""
        taken = [*(["labels"] if self.labels else []), *(name for name in FIELDS if name in self.given)]
        rest = f"taken from it: {', '.join(taken)}" if taken else "left aside"
        return f"{SIDECAR} beside the weights is another program's ({rest})"


def read_sidecar(weights: Path) -> bytes | None:
    """The file beside ``weights``; None where there is none.

    Raises:
        OSError: It cannot be read, is no regular file, or is larger than 1 MiB.
    """
    try:
        return read_bounded(weights.parent / SIDECAR, MAX_JSON_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None


def not_read(weights: Path) -> tuple[str, ...]:
    """A note for transformers' description of images beside ``weights``, for where something is assumed of them."""
    if not (weights.parent / PROCESSOR).exists():
        return ()
    return (f"{PROCESSOR} beside the weights is not read: what it says belongs into --mean, --std and --resize",)


def is_ours(content: bytes) -> bool:
    """Whether a file is meant for this project, be it damaged: by fields that no other program has."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return sum(f'"{name}"'.encode() in content for name in _OWN_NETWORK) > 1
    if not isinstance(document, dict):
        return False
    if _describes(document, _NETWORK, _OWN_NETWORK):
        return True
    network, images = document.get("model"), document.get("preprocessing")
    if _describes(network, _NETWORK, _OWN_NETWORK):
        return True
    # These are called so elsewhere too: beside anything of another program they are not ours.
    alone = document.keys() <= PARTS and not isinstance(network, str)
    return alone and (isinstance(document.get("labels"), list) or _describes(images, frozenset(FIELDS), _OWN_IMAGES))


def _describes(part: object, known: frozenset[str], own: frozenset[str]) -> bool:
    """Whether most fields of a part are ours, and one of them nobody else's."""
    return isinstance(part, dict) and bool(own & part.keys()) and 2 * len(known & part.keys()) > len(part)


def read_foreign(content: bytes, config: ModelConfig) -> Foreign:
    """What another program's file says of a network of ``config``: nothing where it names another network."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return Foreign()
    if not isinstance(document, dict):
        return Foreign()
    named = str([document[key] for key in _NAMES_OF_NETWORKS if document.get(key)])
    if named != "[]" and "dmformer" not in named.lower():
        return Foreign()
    if config.classes and document.get("num_classes", config.classes) != config.classes:
        return Foreign()
    labels, given = _labels(document, config.classes), _images(document)
    try:
        grey = GREY if config.in_channels == 1 else {}
        spec = Preprocessing.model_validate({**grey, **given}) if given else None
    except ValidationError:
        spec = None
    if spec is None or spec.channels != config.in_channels:
        return Foreign(labels)
    return Foreign(labels, spec, frozenset(given))


def _labels(document: Mapping[str, Any], count: int) -> tuple[str, ...] | None:
    """Of transformers' ``id2label`` or timm's ``label_names``; None where they are not one plain text per class."""
    named = document.get("id2label")
    names = document.get("label_names")
    if isinstance(named, dict) and named.keys() == {str(index) for index in range(count)}:
        names = [named[str(index)] for index in range(count)]
    if not isinstance(names, list) or len(names) != count:
        return None
    # transformers writes these where nobody gave any.
    if names == [f"LABEL_{index}" for index in range(count)]:
        return None
    return tuple(names) if all(isinstance(name, str) and name and is_plain(name) for name in names) else None


def _images(document: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `Preprocessing` from timm's ``pretrained_cfg``, or transformers' ``image_size``."""
    # Earlier versions of timm wrote the same fields without a name for them.
    said = document.get("pretrained_cfg", document if "crop_pct" in document else None)
    if isinstance(said, dict):
        return _timm_images(said)
    side = document.get("image_size")
    return {"size": (side, side)} if _is_side(side) else {}


def _timm_images(said: Mapping[str, Any]) -> dict[str, Any]:
    """Of a centre crop of a square, the usual evaluation; nothing for what timm does otherwise."""
    shape, mean, std = said.get("input_size"), said.get("mean"), said.get("std")
    ratio, mode = said.get("crop_pct"), said.get("crop_mode", "center")
    if not (isinstance(shape, list) and len(shape) == 3 and _is_side(shape[1]) and shape[1] == shape[2]):
        return {}
    if not (mean and std and isinstance(ratio, int | float) and 0.1 < ratio <= 1 and mode == "center"):
        return {}
    values = {
        "size": tuple(shape[1:]),
        "resize": "shorter",
        "resize_to": math.floor(shape[1] / ratio),  # timm rounds down
        "mean": mean,
        "std": std,
        "channel_order": "grey" if shape[0] == 1 else "rgb",
    }
    return values | {"interpolation": said["interpolation"]} if "interpolation" in said else values


def _is_side(value: object) -> bool:
    return isinstance(value, int) and value >= TOTAL_STRIDE and value % TOTAL_STRIDE == 0
