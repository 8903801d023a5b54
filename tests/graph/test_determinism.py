"""Same inputs, same bytes: also from another process with another hash seed, in another directory."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import onnx_ir as ir

from dmformer.graph import onnx_model
from dmformer.graph.from_torch import GraphOptions, onnx_from_torch
from dmformer.model.network import DMFormer
from tests.support import run, snapshot

EXPORT = """
import sys
from pathlib import Path
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
options = ExportOptions(targets=("onnx", "openvino"), precision="fp16", golden_images=4, output=Path(sys.argv[2]))
export_bundles(sys.argv[1], options)
"""


def test_two_processes_write_the_same_bundles(weights: Path, tmp_path: Path) -> None:
    found = []
    for seed in ("0", "4711"):
        folder = tmp_path / seed
        folder.mkdir()
        shutil.copy(weights, folder)
        done = run(folder / weights.name, folder / "out", code=EXPORT, env={**os.environ, "PYTHONHASHSEED": seed})
        assert done.returncode == 0, done.stderr
        found.append(snapshot(folder / "out"))
        for path in (folder / "out").rglob("*"):
            assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes(), f"{path} names its directory"
    assert found[0] == found[1]
    engines = {path for path in found[0] if path.endswith(("model.xml", "model.bin", "model.onnx"))}
    assert len(engines) == 3


def test_what_the_tests_remember_of_a_network_is_what_is_made_of_it(reference: DMFormer) -> None:
    options, convert = GraphOptions((32, 32)), vars(onnx_model)["onnx_from_torch"]
    assert convert is not onnx_from_torch, "see tests/conftest.py"
    convert(reference, options)
    again, anew = convert(reference, options), onnx_from_torch(reference, options)
    assert ir.to_proto(again).SerializeToString() == ir.to_proto(anew).SerializeToString()
