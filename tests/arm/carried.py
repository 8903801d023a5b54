"""Bundles that are made here for an Arm machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.arm.caching import alone, cached, digest_of
from tests.support import ROOT

BUNDLES = {"fp32": (), "int8": ("--int8", "--cpu-isa", "arm64-dotprod")}
"""By their precision: how each is exported for the machine's CPU."""


def bundle_of(parts: Path, precision: str) -> Path:
    """A bundle of ONNX Runtime with the embedded checkpoint; made again when the program changes."""

    def export(into: Path) -> None:
        environment = {**os.environ, "XDG_CACHE_HOME": str(parts / "cache")}
        words = ["export", "--target", "onnxruntime", *BUNDLES[precision], "--output", str(into)]
        _call([sys.executable, "-m", "dmformer", *words], environment)

    with alone(parts):
        made = cached(parts / f"bundle-{precision}", digest_of(Path(__file__), ROOT / "dmformer"), export)
    return next(made.iterdir())


def _call(words: Sequence[str | Path], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{words}: exit code {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
