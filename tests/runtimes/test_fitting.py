"""A bundle on a machine that it was not made for: refused wherever one is opened."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dmformer import host
from dmformer.bundle import Bundle
from dmformer.embedding.project import embed
from dmformer.errors import EngineError
from dmformer.evaluation.latency.candidates import Candidate, candidates_of
from dmformer.evaluation.latency.settings import BenchSettings
from dmformer.evaluation.latency.subject import open_subject
from dmformer.evaluation.verify import verify
from dmformer.pipeline.options import CPU_ISAS
from dmformer.prediction.classifier import Classifier
from dmformer.runtimes.fitting import check_machine, needed_isas
from dmformer.runtimes.inspection.registry import inspector_for
from dmformer.runtimes.registry import fits_here, open_bundle
from tests.support import edit_manifest, invoke

Exported = Callable[..., Path]
OLD = host.Cpu("Old CPU", ("avx2", "avx512"))


@pytest.fixture
def old_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "cpu", lambda: OLD)


def as_int8(isas: list[str], chosen: str | None = None) -> Callable[[dict[str, Any]], None]:
    """Makes a manifest one of an INT8 engine that a CPU with these instruction sets built."""

    def change(manifest: dict[str, Any]) -> None:
        manifest["precision"] |= {"requested": "int8", "isa": chosen}
        manifest["host"]["cpu_isa"] = isas

    return change


@pytest.mark.usefixtures("old_cpu")
@pytest.mark.parametrize("isa", host.DOT_PRODUCTS)
def test_int8_for_another_cpu_is_refused_wherever_a_bundle_is_opened(copied: Path, isa: str) -> None:
    edit_manifest(copied, as_int8([isa]))
    bundle = Bundle.load(copied)
    doors: list[Callable[[], object]] = [
        lambda: fits_here(bundle),
        lambda: open_bundle(bundle),
        lambda: verify(bundle),
        lambda: Classifier(bundle),
        lambda: inspector_for(bundle),
        lambda: open_subject(Candidate("engine", "bundle", str(copied), 1), BenchSettings()),
        lambda: candidates_of([bundle], []),
    ]
    for door in doors:
        with pytest.raises(EngineError, match=f"for a CPU with {isa}, and Old CPU has none") as caught:
            door()
        assert "--int8" in (caught.value.hint or "")


@pytest.mark.usefixtures("old_cpu")
def test_the_commands_refuse_it_with_one_line(copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_manifest(copied, as_int8(["avx512-vnni"]))
    (tmp_path / "x.png").write_bytes(b"never read")
    for command in (("verify", copied), ("bench", copied), ("predict", copied, tmp_path / "x.png")):
        code, stdout, stderr = invoke(capsys, *command)
        assert (code, stdout) == (2, "")
        assert "sums would saturate" in stderr


@pytest.mark.usefixtures("old_cpu")
@pytest.mark.parametrize("chosen", CPU_ISAS)
def test_the_cpu_that_was_named_at_export_counts_and_not_the_builder_s(copied: Path, chosen: str) -> None:
    edit_manifest(copied, as_int8(["avx512-vnni"], chosen))
    bundle = Bundle.load(copied)
    if chosen in ("avx2", "avx512", "arm64"):
        check_machine(bundle)
        return
    with pytest.raises(EngineError, match="sums would saturate"):
        check_machine(bundle)


@pytest.mark.usefixtures("old_cpu")
@pytest.mark.parametrize("target", ["tensorrt", "tensorrt-rtx", "coreml"])
def test_other_devices_do_not_ask_for_the_builder_s_cpu(exported: Exported, target: str) -> None:
    manifest = Bundle.load(exported("onnxruntime")).manifest
    precision = manifest.precision.model_copy(update={"requested": "int8"})
    assert needed_isas(manifest.model_copy(update={"precision": precision, "target": target})) == ()


def test_a_bundle_for_another_gpu_is_refused(exported: Exported) -> None:
    bundle = Bundle.load(exported("onnxruntime"))
    other = bundle.manifest.model_copy(update={"host": bundle.manifest.host.model_copy(update={"gpu": "Abacus 9000"})})
    with pytest.raises(EngineError, match="Abacus 9000"):
        open_bundle(replace(bundle, manifest=other))


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_an_embedded_project_refuses_it_too(exported: Exported, tmp_path: Path, target: str) -> None:
    shutil.copytree(exported(target), tmp_path / "bundle")
    edit_manifest(tmp_path / "bundle", as_int8(["avx512-vnni"]))
    embed(Bundle.load(tmp_path / "bundle"), "python", tmp_path / "project")
    (tmp_path / "cpuinfo").write_text("model name : Old CPU\nflags : avx2 avx512f\n")
    lines = (
        f"import machine, pathlib; machine.check_machine.__defaults__ = (pathlib.Path({str(tmp_path / 'cpuinfo')!r}),)"
    )
    run = [sys.executable, "-c", f"{lines}; import engine; engine.Engine()"]
    done = subprocess.run(run, cwd=tmp_path / "project", capture_output=True, text=True, check=False)
    assert "this INT8 engine is for a CPU with one of avx512_vnni" in done.stderr
    (tmp_path / "cpuinfo").write_text("flags : avx2 avx512f avx_vnni\n")
    done = subprocess.run(run, cwd=tmp_path / "project", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
