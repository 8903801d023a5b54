"""NVIDIA's libraries keep the contract of every runtime, where there is a GPU to run an engine on."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmformer.bundle import Bundle
from dmformer.runtimes.tensorrt.bundles import tensorrt_family
from dmformer.runtimes.tensorrt.gpu import gpus
from tests.runtimes.contract import Exported, RuntimeContract


@pytest.mark.gpu
class NvidiaContract(RuntimeContract):
    full_db = 60.0  # TF32 is off, but kernels of other shapes sum in other orders
    half_db = 40.0

    @classmethod
    def unable(cls) -> str | None:
        return tensorrt_family(cls.target).unable_to_run() or tensorrt_family(cls.target).unable_to_build()

    @property
    def provider(self) -> str:  # type: ignore[override]  # that of this machine
        return gpus()[0].name

    def test_building_again_gives_the_same_bytes(self, exported: Exported, tmp_path: Path) -> None:
        """Kernels are chosen by timing them, and the manifest says so."""
        manifest = Bundle.load(exported(self.target)).manifest
        assert set(manifest.not_deterministic) <= {"model.engine"}


class TestTensorRt(NvidiaContract):
    target = "tensorrt"


class TestTensorRtForRtx(NvidiaContract):
    target = "tensorrt-rtx"
