"""A device: the wheel without extras, and one runtime. No torch, no onnx, no demonstration; it benches and verifies."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import Exported
from tests.packages.conftest import call
from tests.support import one_line

HEAVY = ("torch", "onnx", "openvino", "matplotlib", "dmformer_demo")


def test_a_bundle_is_benched_and_verified(device: Path, exported: Exported, tmp_path: Path) -> None:
    program = f"import importlib.util as u; print([name for name in {HEAVY} if u.find_spec(name)])"
    assert call(device, "-c", program).stdout.strip() == "[]"
    brief = ("--duration", "0.05", "--launches", "1", "--warmup", "0", "--json", "--threads", "1")
    done = call(device, "-m", "dmformer", "bench", exported("onnxruntime"), *brief)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)["results"][0]
    assert result["p50_ms"] > 0
    assert result["layers"]["parts"]
    done = call(device, "-m", "dmformer", "verify", exported("onnxruntime"))
    assert done.returncode == 0, done.stderr
    done = call(device, "-m", "dmformer", "report", tmp_path / "page.html", "bench.json")
    assert done.returncode == 2
    assert "dmformer[report]" in done.stderr


def test_python_answers_there_and_verifies(device: Path, exported: Exported) -> None:
    program = """
import sys, dmformer
with dmformer.load(sys.argv[1]) as model:
    print(model.predict(b"P5 8 8 255 " + bytes(64), 1)[0][0].label in model.labels)
print(dmformer.Bundle.load(sys.argv[1]).verify().verified)
try:
    dmformer.export()
except dmformer.errors.MissingBackendError as error:
    print(error.hint)
"""
    done = call(device, "-c", program, exported("onnxruntime"))
    assert done.stdout.splitlines() == ["True", "True", "pip install 'dmformer[export]'"], done.stderr


def test_an_export_there_names_what_is_missing(device: Path) -> None:
    done = call(device, "-m", "dmformer", "export")
    assert done.returncode == 2
    assert "torch" in one_line(done.stderr)
    assert "pip install 'dmformer[export]'" in done.stderr
