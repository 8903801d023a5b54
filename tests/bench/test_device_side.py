"""A device: ``pip install dmformer`` without extras, and one runtime. No torch, no onnx; it benches and verifies."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Exported
from tests.support import PATIENCE, ROOT

OFFLINE = ("No matching distribution", "Could not find a version", "Connection", "Temporary failure", "Read timed out")


def call(*arguments: str | Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, arguments)), capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment
    )


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment."""
    folder = tmp_path_factory.mktemp("device")
    # The user's own configuration of pip, which tests otherwise do not see.
    environment = {**os.environ, "HOME": pwd.getpwuid(os.getuid()).pw_dir, "PYTHONPATH": ""}
    assert call(sys.executable, "-m", "venv", folder, environment=environment).returncode == 0
    python = folder / "bin" / "python"
    done = call(python, "-m", "pip", "install", "-q", ROOT, "onnxruntime", environment=environment)
    if done.returncode and any(sign in done.stderr for sign in OFFLINE):
        pytest.skip(f"pip cannot install here: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return python


def test_a_bundle_is_benched_and_verified(device: Path, exported: Exported, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": ""}
    program = (
        "import importlib.util as u; print([n for n in ('torch', 'onnx', 'openvino', 'matplotlib') if u.find_spec(n)])"
    )
    assert call(device, "-c", program, environment=environment).stdout.strip() == "[]"
    brief = ("--duration", "0.05", "--launches", "1", "--warmup", "0", "--json", "--threads", "1")
    done = call(device, "-m", "dmformer", "bench", exported("onnxruntime"), *brief, environment=environment)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)["results"][0]
    assert result["p50_ms"] > 0
    assert result["layers"]["parts"]
    done = call(device, "-m", "dmformer", "verify", exported("onnxruntime"), environment=environment)
    assert done.returncode == 0, done.stderr
    done = call(device, "-m", "dmformer", "report", tmp_path / "page.html", "bench.json", environment=environment)
    assert done.returncode == 2
    assert "dmformer[report]" in done.stderr
