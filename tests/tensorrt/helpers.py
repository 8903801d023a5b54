"""What the tests of both libraries share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dmformer.bundle import Bundle
from dmformer.golden import Golden
from dmformer.manifest import Manifest
from dmformer.runtimes.base import EngineRequest
from dmformer.runtimes.tensorrt.gpu import Gpu, gpus
from dmformer.runtimes.tensorrt.libraries import TENSORRT_RTX
from dmformer.runtimes.tensorrt.loading import missing

needs_rtx = pytest.mark.skipif(missing(TENSORRT_RTX) is not None, reason=str(missing(TENSORRT_RTX)))
needs_gpu = pytest.mark.skipif(not gpus(), reason="this machine has no NVIDIA GPU that its driver can use")
ORIN = Gpu("Orin", "8.7", "12.6", 32 << 30, integrated=True)
RTX_4090 = Gpu("GeForce RTX 4090", "8.9", "13.0", 24 << 30, integrated=False)


class Notes:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps = 0

    def track(self, items: Any, description: str, total: int) -> Any:
        for item in items:
            self.steps += 1
            yield item

    def say(self, message: str) -> None:
        self.said.append(message)


def parts(path: Path) -> tuple[Manifest, Golden]:
    """A draft manifest and golden samples, from an exported bundle."""
    bundle = Bundle.load(path)
    return bundle.manifest, bundle.golden()


def request_of(onnx: Path, directory: Path, **build: Any) -> EngineRequest:
    directory.mkdir(parents=True, exist_ok=True)
    return EngineRequest(str(onnx), str(directory), "fp16", "float16", build)
