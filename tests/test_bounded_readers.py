"""Readers of small files refuse what is no regular file at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dmformer.bundle import read_manifest
from dmformer.errors import DmformerError
from dmformer.runtimes.tensorrt.layers import read_description
from dmformer.runtimes.tensorrt.plan import read_plan
from dmformer.staging import BUNDLE


@pytest.mark.parametrize(
    "read", [lambda path: read_manifest(path.parent), read_description, read_plan], ids=["manifest", "layers", "plan"]
)
def test_a_fifo_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    os.mkfifo(path)
    with pytest.raises(DmformerError):
        read(path)
    assert not BUNDLE.marks(tmp_path)
