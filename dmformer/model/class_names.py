"""Names and colours of classes that trainers write beside weights: in a torch file, or in safetensors' metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from dmformer.fields import Palette
from dmformer.model.sidecar import MAX_JSON_BYTES
from dmformer.texts import is_plain, listed

KEYS = ("names", "class_names", "classes", "CLASSES", "class_to_idx")
"""Of Ultralytics, of many scripts, of MMEngine and what was before it, and of torchvision's ImageFolder."""
COLOURS = ("palette", "PALETTE")
"""Of MMEngine and what was before it."""
HOLDERS = ("args", "hyper_parameters", "config", "meta", "dataset_meta", "model")
MAX_NESTING = 2

Names = tuple[str, ...]


def names_in(content: object) -> tuple[tuple[str, Names], ...]:
    """What may be the classes' names in a file, each with the key that it is under; the outermost first."""
    return tuple((key, names) for key, value in _said(content, KEYS) if (names := _as_names(value)))


def palettes_in(content: object) -> tuple[Palette, ...]:
    """What may be a colour for each class in a file; the outermost first."""
    return tuple(palette for _, value in _said(content, COLOURS) if (palette := _as_palette(value)))


def choose_names(found: tuple[tuple[str, Names], ...], classes: int) -> tuple[Names | None, tuple[str, ...]]:
    """The names that are as many as the classes, and what was done with those that were found, in words."""
    for key, names in found:
        if len(names) == classes:
            return names, (f"the classes' names are those under {key!r} in the file: {listed(names)}",)
    return None, tuple(
        f"{key!r} in the file names {len(names)} classes and the network has {classes}: not used"
        for key, names in found
    )


def choose_palette(found: tuple[Palette, ...], classes: int) -> Palette | None:
    """The colours that are as many as the classes."""
    return next((palette for palette in found if len(palette) == classes), None)


def _said(content: object, keys: Sequence[str], depth: int = 0) -> Iterator[tuple[str, object]]:
    content = _parsed(content)
    if not isinstance(content, Mapping) or depth > MAX_NESTING:
        return
    yield from ((key, content[key]) for key in keys if key in content)
    for holder in HOLDERS:
        yield from _said(content.get(holder), keys, depth + 1)


def _as_names(value: object) -> Names | None:
    """One plain text for each class, from a list, or a mapping between indices and names; else None."""
    value = _parsed(value)
    if isinstance(value, Mapping):
        pairs = dict(value.items())
        if all(isinstance(index, int) for index in pairs.values()):
            pairs = {index: name for name, index in pairs.items()}
        indices = {str(index): name for index, name in pairs.items()}
        value = [indices.get(str(index)) for index in range(len(indices))]
    if not isinstance(value, list | tuple) or not value:
        return None
    return tuple(value) if all(isinstance(name, str) and name.strip() and is_plain(name) for name in value) else None


def _as_palette(value: object) -> Palette | None:
    """Red, green and blue of 0 to 255 for each class; else None."""
    value = _parsed(value)
    if not isinstance(value, list | tuple) or not all(map(_is_colour, value)):
        return None
    return tuple((colour[0], colour[1], colour[2]) for colour in value)


def _is_colour(value: object) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(type(channel) is int and 0 <= channel <= 255 for channel in value)
    )


def _parsed(value: object) -> object:
    """A text as the JSON that it holds, which is how metadata hold anything."""
    if not isinstance(value, str) or len(value) > MAX_JSON_BYTES:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None
