"""Names and colours of a network's classes, as somebody gave them or a file describes them; checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dmformer.errors import CheckpointError, UsageError
from dmformer.fields import Palette
from dmformer.model.config import ModelConfig
from dmformer.model.description import Description, read_labels
from dmformer.texts import is_plain


def choose_labels(
    given: Sequence[str] | Path | None, described: Description, config: ModelConfig, path: Path
) -> tuple[str, ...] | None:
    """The names that were given, else those of the description.

    Args:
        given: In order, or a file of them.
        described: What the weights' file says.
        config: The network, whose classes they are.
        path: The weights' file, for messages.

    Raises:
        CheckpointError: The description has another number of them than of classes, or control characters in one.
        UsageError: Likewise those that were given.
    """
    if isinstance(given, (str, Path)):
        labels, source = read_labels(Path(given)), str(given)
    elif given is not None:
        labels, source = tuple(given), "the labels given"
    elif described.labels is not None:
        labels, source = described.labels, f"{path} (its description)"
    else:
        return None
    kind_of_error = CheckpointError if given is None else UsageError
    if len(labels) != config.classes:
        raise kind_of_error(f"{source}: {len(labels)} labels for {config.classes} classes")
    # Labels are printed: no terminal control sequences, and one line each.
    if not all(map(is_plain, labels)):
        raise kind_of_error(f"{source}: control characters in a label", "Give plain text, one line for each label.")
    return labels


def checked_palette(
    given: Palette | None, config: ModelConfig, kind_of_error: type[CheckpointError] | type[UsageError], source: str
) -> Palette | None:
    """The colours, as many as the classes, or none.

    Raises:
        CheckpointError: Another number; or `UsageError`, as ``kind_of_error`` says.
    """
    if given is not None and len(given) != config.classes:
        raise kind_of_error(f"{source}: {len(given)} colours for {config.classes} classes", "Give one for each class.")
    return given
