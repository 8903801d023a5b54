"""Same inputs, same bytes: also from another process with another hash seed, in another directory."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support import run, snapshot

EXPORT = """
import sys
from pathlib import Path
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
options = ExportOptions(targets=("onnx", "openvino"), precision="fp16", golden_images=4, output=Path(sys.argv[2]))
export_bundles(sys.argv[1], options)
"""


@pytest.mark.parametrize("seed", ["0", "4711"])
def test_two_processes_write_the_same_bundles(
    weights: Path, tmp_path: Path, seed: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    moved = tmp_path / "elsewhere" / weights.name
    moved.parent.mkdir()
    shutil.copy(weights, moved)
    done = run(moved, tmp_path / "out", code=EXPORT, env={**os.environ, "PYTHONHASHSEED": seed})
    assert done.returncode == 0, done.stderr
    found = snapshot(tmp_path / "out")
    assert {path for path in found if path.endswith(("model.xml", "model.bin", "model.onnx"))}
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes(), f"{path} names its directory"
    first = tmp_path_factory.getbasetemp() / "first-process"
    if first.exists():
        assert found == snapshot(first)
    else:
        shutil.copytree(tmp_path / "out", first)
