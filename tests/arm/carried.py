"""What is carried to an Arm machine that has no network: wheels, and bundles that were made here."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tests.arm.caching import alone, cached, digest_of
from tests.arm.device import ArmDevice
from tests.support import ROOT

CONSTRAINTS = ROOT / "constraints.txt"
PACKAGES = ("numpy", "onnxruntime", "pillow", "platformdirs", "pydantic", "rich", "typer")
"""All that `dmformer` needs there, with ONNX Runtime."""
PLATFORMS = ("manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in range(17, 37)))
PYTHON = "3.11"
BUNDLES = {"fp32": (), "int8": ("--int8", "--cpu-isa", "arm64-dotprod")}
"""By their precision: how each is exported for the machine's CPU."""


def wheels_of(parts: Path) -> tuple[Path, Path]:
    """Directories of wheels: of others, as ``constraints.txt`` pins them, and of this checkout."""
    sources = (ROOT / "dmformer", ROOT / "pyproject.toml", ROOT / "README.md")
    with alone(parts):
        return (
            cached(parts / "wheels", digest_of(Path(__file__), CONSTRAINTS), _download),
            cached(parts / "own-wheels", digest_of(Path(__file__), *sources), _build),
        )


def bundle_of(parts: Path, precision: str) -> Path:
    """A bundle of ONNX Runtime with the embedded checkpoint; made again when the program changes."""

    def export(into: Path) -> None:
        environment = {**os.environ, "XDG_CACHE_HOME": str(parts / "cache")}
        words = ["export", "--target", "onnxruntime", *BUNDLES[precision], "--output", str(into)]
        _call([sys.executable, "-m", "dmformer", *words], environment)

    with alone(parts):
        made = cached(parts / f"bundle-{precision}", digest_of(Path(__file__), ROOT / "dmformer"), export)
    return next(made.iterdir())


def put(device: ArmDevice, path: Path, directory: str) -> None:
    """Puts a file or a directory into a directory of the machine, over ssh; that is made."""
    with tempfile.TemporaryFile() as packed:
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(path, path.name)
        packed.seek(0)
        device.run(f"mkdir -p {directory} && tar -x -C {directory}", packed)


def _download(into: Path) -> None:
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    options = ["--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--python-version", PYTHON]
    wanted = [*PACKAGES, f"pip=={version('pip')}"]
    words = ["download", *options, *platforms, "--constraint", str(CONSTRAINTS), "--dest", str(into), *wanted]
    _call([sys.executable, "-m", "pip", *words])


def _build(into: Path) -> None:
    _call([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", into])


def _call(words: Sequence[str | Path], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{words}: exit code {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
