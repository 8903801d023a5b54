"""Small files are read within a bound, whatever lies under the name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dmformer.calibration.plan import load_plan
from dmformer.calibration.ranges import load_ranges
from dmformer.errors import DataError
from dmformer.evaluation.latency.kept import read_document
from dmformer.reading import read_bounded

READERS: list[Callable[[Path], object]] = [load_plan, load_ranges, read_document]


@pytest.mark.parametrize("size", [0, 9, 10, 11, 10**6])
def test_the_bound_holds(size: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    if size <= 10:
        assert read_bounded(path, 10) == b"x" * size
    else:
        with pytest.raises(OSError, match="larger"):
            read_bounded(path, 10)


@pytest.mark.parametrize("read", READERS)
def test_a_fifo_is_refused_at_once(read: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with pytest.raises(DataError, match="no regular file"):
        read(path)


@pytest.mark.parametrize("read", READERS)
def test_a_device_without_an_end_is_refused_at_once(read: Callable[[Path], object]) -> None:
    with pytest.raises(DataError, match="no regular file"):
        read(Path("/dev/zero"))
