"""From a file's tensors to the network's: the dialect is chosen, the tensors renamed, and what was done is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from torch import Tensor

from dmformer.errors import CheckpointError
from dmformer.model.naming.dialect import NATIVE, Dialect, dialects
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
    readings = [read_as(dialect, shapes) for dialect in ((rules,) if rules else dialects())]
    reading, others = choose_reading(readings, required)
    if others:
        titles = listed(each.dialect.title for each in (reading, *others))
        raise CheckpointError(f"{source}: the names can be those of {titles}, which mean different networks", LOOK)
    if reading.ambiguous:
        shown = "; ".join(one_line(text, 300) for text in reading.ambiguous[:MOST_SHOWN])
        raise CheckpointError(f"{source}: the names leave open which tensors are meant: {shown}", LOOK)
    return reading


def said(reading: Reading) -> Iterator[str]:
    """What was done with the names, a line each."""
    if reading.dialect.name != NATIVE:
        count = sum(bool(each.part) for each in reading.assignments)
        yield f"the tensors are named as in {reading.dialect.title}: {count} modules renamed"
    yield from reading.cautions
    for why, count in Counter(reading.aside.values()).items():
        noun = "tensor is" if count == 1 else "tensors are"
        yield f"{count} {noun} left out: {why}"
