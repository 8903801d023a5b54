"""What other programs write beside weights, or into them, of classes and images: taken where it is plain.

timm and transformers describe networks in ``config.json``, transformers its images in ``preprocessor_config.json``,
trainers their options in a file of their own or in the checkpoint. Nothing of it is ever an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dmformer.model.config import ModelConfig
from dmformer.model.foreign_images import TO_UNIT, images_of_options, images_of_processor
from dmformer.model.inputs import FIELDS, GREY, assumption
from dmformer.model.sidecar import PROCESSOR, SIDECAR, read_sidecar
from dmformer.preprocessing import Preprocessing
from dmformer.texts import is_plain

_NAMES_OF_NETWORKS = ("architecture", "architectures", "model_type")
OPTIONS = "the trainer's options in the file"


@dataclass(frozen=True)
class Foreign:
    """What another program says that helps.

    Attributes:
        source: Where it says so.
        labels: One for each class, in order.
        preprocessing: Of images, where it says so.
        given: The fields of ``preprocessing`` that it gives; the others are defaults.
        remarks: What was done with its values, in words.
    """

    source: str = SIDECAR
    labels: tuple[str, ...] | None = None
    preprocessing: Preprocessing | None = None
    given: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()

    def without(self, labels: bool, preprocessing: bool) -> Foreign:
        """The same without what the user gives."""
        kept = Foreign(self.source) if preprocessing else self
        return replace(kept, labels=None if labels else self.labels)

    def over(self, spec: Preprocessing, left: tuple[str, ...]) -> tuple[Preprocessing, tuple[str, ...]]:
        """What it gives over what was known before, and what nobody has said then.

        Args:
            spec: What was known, or assumed.
            left: The fields of it that are assumed.
        """
        if self.preprocessing is None:
            return spec, left
        own = {name: getattr(self.preprocessing, name) for name in self.given}
        # Where one resizes otherwise, the other's shorter side has no meaning.
        shorter = {"resize_to": None} if "resize" in own and "resize_to" not in own else {}
        try:
            found = Preprocessing.model_validate({**spec.model_dump(), **shorter, **own})
        except ValidationError:
            return self.preprocessing, tuple(name for name in FIELDS if name not in self.given)
        return found, tuple(name for name in left if name not in own)

    @property
    def note(self) -> str:
        """What was taken, in words."""
        taken = [*(["labels"] if self.labels else []), *(name for name in FIELDS if name in self.given)]
        rest = f"taken from it: {', '.join(taken)}" if taken else "left aside"
        said = "; ".join([rest, *self.remarks])
        if self.source == OPTIONS:
            return f"{OPTIONS} say more ({said})"
        return f"{self.source} beside the weights is another program's ({said})"


def read_foreign(content: bytes, config: ModelConfig) -> Foreign:
    """What another program's ``config.json`` says of a network of ``config``; nothing where it names another one."""
    document = _document(content)
    named = str([document[key] for key in _NAMES_OF_NETWORKS if document.get(key)])
    if named != "[]" and "dmformer" not in named.lower():
        return Foreign()
    return read_options(document, config, SIDECAR)


def read_options(document: Mapping[str, Any], config: ModelConfig, source: str = OPTIONS) -> Foreign:
    """What a trainer's options, or a description of a network, say of classes and images."""
    if config.classes and document.get("num_classes", config.classes) != config.classes:
        return Foreign(source)
    return _checked(source, _labels(document, config.classes), images_of_options(document), config)


def read_processor(content: bytes, config: ModelConfig) -> Foreign:
    """What transformers' ``preprocessor_config.json`` says of images."""
    return _checked(PROCESSOR, None, images_of_processor(_document(content)), config)


def said_elsewhere(
    path: Path, described: bytes | None, options: Mapping[str, Any], config: ModelConfig
) -> Iterator[Foreign]:
    """What others say beside weights and in them, what is surest last.

    Args:
        path: The weights.
        described: Another program's ``config.json`` beside them.
        options: A trainer's, in the file.
        config: The network.
    """
    inside = read_options(options, config)
    if inside.labels or inside.given:
        yield inside
    if described is not None:
        yield read_foreign(described, config)
    try:
        processor = read_sidecar(path, PROCESSOR)
    except OSError:
        yield Foreign(PROCESSOR)
    else:
        yield from [] if processor is None else [read_processor(processor, config)]


@dataclass(frozen=True)
class Known:
    """What is known of classes and images.

    Attributes:
        labels: One for each class, in order.
        preprocessing: Of images, and ``assumed`` its fields that nobody gave.
        notes: Who said what, and what is assumed, in words.
    """

    labels: tuple[str, ...] | None
    preprocessing: Preprocessing
    assumed: tuple[str, ...]
    notes: tuple[str, ...]


def completed(
    others: Iterable[Foreign], labels: tuple[str, ...] | None, named: bool, spec: Preprocessing, left: tuple[str, ...]
) -> Known:
    """What is known, with what others say of the rest.

    Args:
        others: Who say more, the surest last.
        labels: Known already.
        named: Whether the user names the classes.
        spec: Of images, as far as it is known.
        left: Its fields that are assumed.
    """
    notes = []
    for theirs in others:
        used = theirs.without(named or labels is not None, not left)
        labels = labels or used.labels
        spec, left = used.over(spec, left)
        notes.append(used.note)
    return Known(labels, spec, left, (*notes, *assumption(spec, left)))


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _checked(source: str, labels: tuple[str, ...] | None, given: dict[str, Any], config: ModelConfig) -> Foreign:
    """The same where it is possible, and for as many channels as the network takes."""
    remarks = (given.pop(TO_UNIT),) if TO_UNIT in given else ()
    try:
        grey = GREY if config.in_channels == 1 else {}
        usual = {"size": (config.head.side,) * 2, "resize": config.head.resize}
        spec = Preprocessing.model_validate({**usual, **grey, **given}) if given else None
    except ValidationError:
        spec = None
    if spec is None or spec.channels != config.in_channels:
        return Foreign(source, labels)
    return Foreign(source, labels, spec, frozenset(given), remarks)


def _labels(document: Mapping[str, Any], count: int) -> tuple[str, ...] | None:
    """Of transformers' ``id2label``, timm's ``label_names``, a trainer's ``classes``: one plain text each, or None."""
    named = document.get("id2label")
    names = next((document[key] for key in ("label_names", "class_names", "classes") if key in document), None)
    if isinstance(named, dict) and named.keys() == {str(index) for index in range(count)}:
        names = [named[str(index)] for index in range(count)]
    if not isinstance(names, list) or len(names) != count:
        return None
    # transformers writes these where nobody gave any.
    if names == [f"LABEL_{index}" for index in range(count)]:
        return None
    return tuple(names) if all(isinstance(name, str) and name and is_plain(name) for name in names) else None
