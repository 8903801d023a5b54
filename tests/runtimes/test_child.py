"""Native libraries run in a child process first: what happens to it becomes an error that names the step."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dmformer.errors import DmformerError, EngineCrashError, EngineError, UsageError
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.targets import TARGETS
from tests.support import world


def export_with(target: str, where: str, weights: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> DmformerError:
    """The error of an export for a runtime of `tests.runtimes.crashing`, with nothing left on disk."""
    row = replace(TARGETS["onnxruntime"], name=target, runtime=f"tests.runtimes.crashing:{where}")
    monkeypatch.setitem(TARGETS, target, row)
    monkeypatch.setenv("DMFORMER_TEST_PARENT", str(os.getpid()))
    before = world(output.parent)
    with pytest.raises(DmformerError) as caught:
        export_bundles(weights, ExportOptions(targets=(target,), output=output, golden_images=2))
    assert world(output.parent) == before
    return caught.value


@pytest.mark.parametrize(
    ("target", "where", "step", "cause"),
    [
        ("crash-in-build", "InBuild", "building the engine", "SIGSEGV"),
        ("crash-in-open", "InOpen", "compiling the engine", "SIGILL"),
        ("crash-in-run", "InRun", "running the engine", "SIGABRT"),
        ("exits", "Exits", "building the engine", "exit code 3"),
    ],
)
def test_a_process_that_dies_is_an_error_that_names_the_step(
    target: str, where: str, step: str, cause: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = export_with(target, where, weights, tmp_path / "out", monkeypatch)
    assert type(error) is EngineCrashError
    assert error.message.startswith(f"{target}: ")
    assert f"while {step}" in error.message
    assert cause in error.message
    assert where == "Exits" or "the library's last words" in error.message
    assert error.hint


def test_a_third_party_s_exception_is_the_runtime_s_refusal_in_one_line(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = export_with("raises", "Raises", weights, tmp_path / "out", monkeypatch)
    assert type(error) is EngineError
    assert error.message == "raises: the library refuses this graph"


def test_an_error_of_ours_crosses_the_process_boundary_whole(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = export_with("refuses", "Refuses", weights, tmp_path / "out", monkeypatch)
    assert type(error) is UsageError
    assert (error.message, error.hint) == ("not this graph", "another one")


def test_modules_in_the_current_directory_are_not_taken_for_libraries(weights: Path, tmp_path: Path) -> None:
    for name in ("openvino", "numpy", "json", "dmformer"):
        (Path.cwd() / f"{name}.py").write_text("raise SystemExit('a file of the user was executed')")
    options = ExportOptions(targets=("openvino",), output=tmp_path / "out", golden_images=2)
    assert export_bundles(weights, options)[0].proof.passed
