"""From a file's tensors to the network's: the dialect is chosen, the tensors renamed, and what was done is said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from torch import Tensor

from dmformer.errors import CheckpointError
from dmformer.model.naming.dialect import NATIVE, Dialect, dialects, get_dialect
from dmformer.model.naming.modules import Shapes
from dmformer.model.naming.reading import Reading, choose_reading, read_as
from dmformer.texts import listed, one_line

MOST_SHOWN = 4
LOOK = "dmformer inspect FILE --names shows what each tensor is taken for, and writes rules for --names to complete"


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of tensors."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def read_names(shapes: Shapes, rules: Dialect | None, required: tuple[str, ...], source: str) -> Reading:
    """What the tensors of a file are taken for.

    Args:
        shapes: Of every tensor, by the names in the file.
        rules: A person's; None takes the dialect that all of the names are in.
        required: Names without which there is no network.
        source: The file, for messages.

    Raises:
        CheckpointError: Two tensors may be one part, or the names are in several dialects that mean different networks.
    """
    reading, others = read_as(rules or get_dialect(NATIVE), shapes), tuple[Reading, ...]()
    # This package's own names mean nothing else elsewhere.
    if rules is None and not reading.is_whole(required):
        possible = [dialect for dialect in dialects() if dialect.has_blocks(shapes)]
        reading, others = choose_reading([reading, *(read_as(dialect, shapes) for dialect in possible)], required)
    if others:
        titles = listed(each.dialect.title for each in (reading, *others))
        raise CheckpointError(f"{source}: the names can be those of {titles}, which mean different networks", LOOK)
    if reading.rivals:
        texts = (f"{part} is {' or '.join(paths)}" for part, paths in islice(reading.rivals.items(), MOST_SHOWN))
        shown = "; ".join(one_line(text, 300) for text in texts)
        raise CheckpointError(f"{source}: the names leave open which tensors are meant: {shown}", LOOK)
    return reading


def closest_reading(shapes: Shapes, required: tuple[str, ...]) -> Reading:
    """What the dialect that knows most of a file takes its tensors for, be it that others know as much."""
    known = (get_dialect(NATIVE), *dialects())
    return choose_reading([read_as(dialect, shapes) for dialect in known], required)[0]


def said(reading: Reading) -> Iterator[str]:
    """What was done with the names, a line each."""
    if reading.dialect.name != NATIVE:
        count = sum(bool(each.part) for each in reading.assignments)
        yield f"the tensors are named as in {reading.dialect.title}: {count} modules renamed"
    yield from reading.cautions
    left: dict[str, list[str]] = {}
    for name, why in reading.aside.items():
        left.setdefault(why, []).append(name)
    for why, names in left.items():
        noun = "tensor is" if len(names) == 1 else "tensors are"
        yield f"{len(names)} {noun} left out: {why} ({_shortly(names)})"


def _shortly(names: Sequence[str]) -> str:
    """Names by what they begin with, or by what they end with where that is fewer words."""
    first, last = (dict.fromkeys(name.split(".")[place] for name in names) for place in (0, -1))
    return listed(one_line(word, 40) for word in min(first, last, key=len))
