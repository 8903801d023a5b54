"""Weights read again as they were when a bundle was made from them."""

from __future__ import annotations

from pathlib import Path

from dmformer.errors import CheckpointError
from dmformer.model.checkpoint import Checkpoint, load_checkpoint
from dmformer.records import SourceRecord


def load_again(path: str | Path, source: SourceRecord) -> Checkpoint:
    """Reads weights as they were read when a bundle was made from them.

    Args:
        path: The same file.
        source: What the bundle's manifest says of it.

    Raises:
        CheckpointError: It is another file, or cannot be read.
    """
    checkpoint = load_checkpoint(path, config=source.config, names=source.names, key=source.key)
    if checkpoint.digest != source.sha256:
        raise CheckpointError(f"{path}: is not what the bundle was made from (SHA-256)", "give the same file")
    return checkpoint
