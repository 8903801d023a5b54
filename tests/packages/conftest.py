"""The two wheels, and a device: an environment with the small one and a runtime, without torch and onnx."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from tests.devices.environment import environment_below
from tests.support import PATIENCE, ROOT


def call(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a program that sees nothing of the checkout but its working directory, and pip's configuration."""
    environment = {**os.environ, "HOME": pwd.getpwuid(os.getuid()).pw_dir, "PYTHONPATH": ""}
    command = [str(argument) for argument in arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment, cwd=cwd
    )


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels by the names of their distributions, built from the checkout as a release builds them."""
    folder = tmp_path_factory.mktemp("dist")
    for project in (ROOT, ROOT / "demo"):
        done = call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=project)
        assert done.returncode == 0, done.stderr
    return {path.name.partition("-")[0]: path for path in folder.iterdir()}


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds dmformer, what it depends on, and ONNX Runtime."""
    return environment_below(tmp_path_factory.getbasetemp()) / "bin" / "python"
