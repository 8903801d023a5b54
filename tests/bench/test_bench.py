"""The whole measurement: real engines in processes of their own, as short as possible. No timing is ever asserted."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dmformer.bundle import Bundle
from dmformer.errors import EngineCrashError, EngineError, MissingBackendError, UsageError
from dmformer.evaluation.latency.bench import bench
from dmformer.evaluation.latency.candidates import Candidate, candidates_of, runnable
from dmformer.evaluation.latency.document import Document
from dmformer.evaluation.latency.kept import read_document
from dmformer.evaluation.latency.settings import BenchSettings
from dmformer.evaluation.latency.worker import start_worker
from tests.conftest import Exported
from tests.support import edit_manifest, invoke, one_line, random_images

BRIEF = BenchSettings(duration_s=0.05, launches=1, warmup_s=0, threads=1)


def measured(
    paths: list[Path], settings: BenchSettings = BRIEF, batches: list[int] | None = None, layers: bool = False
) -> Document:
    bundles = [Bundle.load(path) for path in paths]
    return bench(candidates_of(bundles, batches or []), {str(b.path): b for b in bundles}, settings, layers=layers)


def test_a_bundle_and_its_twin(exported: Exported) -> None:
    document = measured([exported("onnxruntime"), exported("onnxruntime")])
    first, second = document.results
    assert second.name == f"{first.name} (2)"
    assert (first.speedup, second.reference) == (None, first.name)
    assert second.speedup_ci is not None
    assert second.speedup_ci[0] <= (second.speedup or 0) <= second.speedup_ci[1]
    assert [len(launch) for launch in first.slices_ms] == [BRIEF.rounds]
    assert sum(first.histogram.counts) == first.samples >= 2 * BRIEF.rounds
    assert (first.provider, first.executes) == ("CPUExecutionProvider", "float32")


def test_layers_come_with_peaks_and_distance(exported: Exported) -> None:
    document = measured([exported("openvino")], layers=True)
    layers = document.results[0].layers
    assert layers is not None, document.notes
    ffn = next(part for part in layers.parts if part.part == "FFN")
    assert ffn.macs
    assert ffn.bound is not None
    assert ffn.verdict.endswith(f"% of peak, {ffn.bound} bound")
    assert document.peaks[0].gmacs_per_s["float32"] > 0


@pytest.mark.parametrize(
    "changes",
    [{"boundary": "preprocess"}, {"boundary": "file"}, {"streams": 2}, {"fps": 500.0}, {"iterations": 70}],
    ids=lambda changes: next(iter(changes)),
)
def test_scenarios_and_boundaries(exported: Exported, changes: dict[str, Any]) -> None:
    found = measured([exported("openvino")], replace(BRIEF, **changes)).results[0]
    assert (found.late_frames is not None) == ("fps" in changes)
    assert found.samples >= changes.get("iterations", 1)
    assert (found.p90_ms is None) == (found.samples < 64)


def test_an_image_of_ones_own(exported: Exported, tmp_path: Path) -> None:
    Image.fromarray(random_images(1)[0]).save(tmp_path / "own.png")
    document = measured([exported("onnxruntime")], replace(BRIEF, boundary="file", image=str(tmp_path / "own.png")))
    assert document.settings.image == "own.png"
    assert str(tmp_path) not in document.settings.model_dump_json()


def test_batches_of_a_dynamic_bundle(exported: Exported) -> None:
    document = measured([exported("onnxruntime", dynamic=True)], batches=[1, 3])
    assert [(found.batch, found.input[0]) for found in document.results] == [(1, 1), (3, 3)]
    assert all(found.speedup is None for found in document.results)


def test_another_batch_than_the_fixed_one_is_refused(exported: Exported) -> None:
    with pytest.raises(UsageError, match="takes batches of 1, not of 4"):
        candidates_of([Bundle.load(exported("onnxruntime"))], [4])


def for_another_gpu(source: Path, folder: Path, name: str) -> Path:
    shutil.copytree(source, folder / name)
    edit_manifest(folder / name, lambda manifest: manifest["host"].update(gpu="Abacus 9000"))
    return folder / name


def test_what_cannot_run_here_is_left_out_and_said(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = for_another_gpu(exported("onnxruntime"), tmp_path, "foreign")
    brief = ["--duration", "0.05", "--launches", "1", "--warmup", "0", "--no-layers", "--against", "none", "--json"]
    code, stdout, stderr = invoke(capsys, "bench", foreign, exported("onnxruntime"), *brief)
    assert code == 0, stderr
    document = json.loads(stdout)
    assert [found["name"] for found in document["results"]] == [exported("onnxruntime").name]
    assert "foreign: left out" in document["notes"][0]
    assert "Abacus 9000" in document["notes"][0]


def test_what_fell_below_its_tolerance_is_left_out_beside_others_and_measured_alone(copied: Path) -> None:
    good = Bundle.load(copied)
    edit_manifest(copied, lambda manifest: manifest["proof"].update(passed=False))
    below = Bundle.load(copied)
    fitting, lines = runnable([good, below])
    assert (fitting, len(lines)) == ([good], 1)
    assert "left out: it fell below its tolerance" in lines[0]
    assert runnable([below]) == ([below], [])


def test_what_is_no_bundle_beside_them_is_left_out_and_said(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What ``bench build/*`` finds in a folder where measurements, notes and unfinished folders lie too."""
    (tmp_path / "bench.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "away").symlink_to(tmp_path / "bench.json")
    strangers = sorted(tmp_path.iterdir())
    brief = ["--duration", "0.05", "--launches", "1", "--warmup", "0", "--no-layers", "--against", "none", "--json"]
    code, stdout, stderr = invoke(capsys, "bench", *strangers, exported("onnxruntime"), *brief)
    assert code == 0, stderr
    document = json.loads(stdout)
    assert [found["name"] for found in document["results"]] == [exported("onnxruntime").name]
    assert document["notes"] == [f"{path.name}: left out, it is no bundle" for path in strangers]
    for given in (strangers, [exported("onnxruntime"), tmp_path / "mistyped"]):
        code, stdout, stderr = invoke(capsys, "bench", *given, *brief)
        assert (code, stdout) == (2, "") and stderr.startswith("error: ")
    shutil.copytree(exported("onnxruntime"), tmp_path / "damaged")
    (tmp_path / "damaged" / "manifest.json").write_text("{")
    code, stdout, stderr = invoke(capsys, "bench", exported("onnxruntime"), tmp_path / "damaged", *brief)
    assert (code, stdout) == (2, "") and "damaged" in stderr


def test_nothing_that_can_run_here(exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foreign = [for_another_gpu(exported("onnxruntime"), tmp_path, name) for name in ("one", "two")]
    code, stdout, stderr = invoke(capsys, "bench", *foreign)
    assert (code, stdout) == (2, "")
    assert "none of the 2 bundles can run here" in one_line(stderr)
    assert "dmformer export" in stderr
    code, _, stderr = invoke(capsys, "bench", foreign[0])
    assert code == 2
    assert "was built for the GPU Abacus 9000" in one_line(stderr)


def test_modules_of_the_current_directory_stay_out(exported: Exported) -> None:
    """A user's own file of a library's name lies where the command is called."""
    Path("onnxruntime.py").write_text("raise SystemExit('not this one')")
    Path("numpy.py").write_text("raise SystemExit('not this one')")
    assert measured([exported("onnxruntime")]).results[0].samples > 0


def test_a_crash_names_the_candidate_and_the_step(exported: Exported) -> None:
    path = exported("onnxruntime")
    with start_worker(Candidate("poor thing", "bundle", str(path), 1), BRIEF) as worker:
        worker.ask("open")
        os.kill(worker._process.pid, signal.SIGKILL)
        with pytest.raises(EngineCrashError, match=r"poor thing: the process died .SIGKILL. while running"):
            worker.ask("slice")


def test_an_error_in_a_worker_keeps_its_kind_and_hint(copied: Path) -> None:
    (copied / "model.onnx").write_bytes(b"no model")
    worker = start_worker(Candidate("damaged", "bundle", str(copied), 1), BRIEF)
    with worker, pytest.raises(EngineError, match="cannot load it") as caught:
        worker.ask("open")
    assert caught.value.hint


def test_the_command_line(exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench.json"
    brief = ["--duration", "0.05", "--launches", "1", "--warmup", "0", "--no-layers", "--threads", "1"]
    code, stdout, stderr = invoke(capsys, "bench", exported("onnxruntime"), *brief, "--json", "-o", out)
    assert code == 0, stderr
    document = read_document(out)
    assert json.loads(stdout) == json.loads(out.read_text())
    assert [found.kind for found in document.results] == ["pytorch", "bundle"]
    assert document.results[1].reference == document.results[0].name
    assert "Throughput" in stderr
    assert str(tmp_path) not in document.command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--against", "caffe"], "no reference 'caffe'"),
        (["--boundary", "moon"], "no boundary 'moon'"),
        (["--fps", "30", "--streams", "2"], "exclude each other"),
        (["--weights", "nowhere.pt"], "nowhere.pt: is not a file"),
        (["--image", "nowhere.png"], "nowhere.png"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_wrong_input_is_one_line(
    exported: Exported, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code, stdout, stderr = invoke(capsys, "bench", exported("onnxruntime"), *arguments)
    assert (code, stdout) == (2, "")
    assert message in one_line(stderr)


def test_a_place_that_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, stderr = invoke(capsys, "bench", tmp_path)
    assert code == 2
    assert "is not a bundle" in one_line(stderr)


def test_pytorch_is_optional(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    from dmformer.pipeline import measurement
    from dmformer.progress import Silent

    monkeypatch.setattr(measurement, "find_spec", lambda _: None)
    bundle = Bundle.load(exported("onnxruntime"))
    assert len(measurement.choose_candidates([bundle], "auto", None, [], Silent())) == 1
    with pytest.raises(MissingBackendError, match="needs torch"):
        measurement.choose_candidates([bundle], "pytorch", None, [], Silent())


@pytest.mark.parametrize("wrong", [{"duration_s": math.inf}, {"duration_s": math.nan}, {"warmup_s": math.inf}])
def test_durations_that_never_end_are_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="numbers of seconds"):
        BenchSettings(**wrong)
