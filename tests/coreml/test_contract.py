"""Core ML packages keep the contract of every runtime, here in the evaluator."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmformer.bundle import Bundle
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.precision import Precision
from tests.coreml.conftest import Bundled
from tests.runtimes.contract import Exported, RuntimeContract


class TestCoreMl(RuntimeContract):
    target = "coreml"
    provider = "evaluator"
    half_db = 60.0
    takes = "Nx3x32x32"  # the evaluator minds no batch size
    opens_without = True

    @pytest.fixture
    def exported(self, bundled: Bundled) -> Exported:
        def make(target: str, precision: Precision = "fp32", dynamic: bool = False) -> Path:
            assert target == "coreml"
            return bundled(precision, dynamic, tensor_input=True)

        return make

    @pytest.mark.usefixtures("exported")
    def test_building_again_gives_the_same_bytes(  # type: ignore[override]  # from weights, not from a graph
        self, weights: Path, tmp_path: Path
    ) -> None:
        engines = []
        for name in ("one", "two"):
            options = ExportOptions(("coreml",), precision="fp16", golden_images=2, output=tmp_path / name)
            bundle = export_bundles(weights, options)[0].bundle
            names = [name for name, entry in bundle.manifest.files.items() if entry.role != "golden"]
            engines.append({name: Bundle.load(bundle.path).manifest.files[name].sha256 for name in names})
        assert engines[0] == engines[1] and len(engines[0]) == 3
