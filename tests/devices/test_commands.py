"""Every command that travels gives there what it gives here; several devices at once answer in one table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dmformer.bundle import Bundle
from dmformer.cli.app import COMMANDS
from dmformer.devices.resource import Resource
from dmformer.evaluation.latency.kept import read_document
from dmformer.options import leaves
from dmformer.pipeline.requests import PredictOptions
from dmformer.pipeline.travelling import Errand
from tests.conftest import Exported, Segmented
from tests.devices.conftest import Written
from tests.devices.sshd import Served
from tests.support import Command, edit_manifest, invoke, one_line, random_images, snapshot

BRIEF = ("--duration", "0.05", "--launches", "1", "--warmup", "0", "--no-layers", "--threads", "1")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _devices(ready: Served, written: Written) -> None:
    elsewhere = ready.resource.model_copy(update={"directory": "~/empty"})
    written(board=ready.resource, bare=elsewhere, gone=Resource(host="127.0.0.1", port=9, user="nobody"))


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder whose name no shell leaves alone."""
    place = tmp_path / 'it\'s a "folder" of $HOME'
    place.mkdir()
    return place


def test_verify_answers_as_here_and_copies_once(
    exported: Exported, labelled: Path, ready: Served, odd: Path, command: Command
) -> None:
    (odd / "labelled.npz").write_bytes(labelled.read_bytes())
    words = ("verify", exported("onnxruntime"), "--data", odd / "labelled.npz", "--threads", "1", "--json")
    there, here = json.loads(command(*words, "--on", "board")[0]), json.loads(command(*words)[0])
    assert there["path"] == str(exported("onnxruntime"))
    told = ("images", "verified", "target", "executes", "failures")
    assert {key: there[key] for key in told} == {key: here[key] for key in told}
    assert there["figures"]["top1"]["engine"] == here["figures"]["top1"]["engine"]
    store = snapshot(ready.home)
    command(*words, "--on", "board")
    assert snapshot(ready.home) == store, "nothing is copied again, and nothing is left"


def test_predict_answers_as_here_and_brings_the_picture(segmented: Segmented, odd: Path, command: Command) -> None:
    images = [odd / "one.png", odd / "two 'quoted'.png"]
    for path, pixels in zip(images, random_images(2), strict=True):
        Image.fromarray(pixels).save(path)
    words = ("predict", segmented(), images[0], "--overlay")
    there = command(*words, odd / "there.png", "--on", "board")[0]
    here = command(*words, odd / "here.png")[0]
    assert there.replace("there.png", "here.png") == here
    shown = [np.asarray(Image.open(odd / name)) for name in ("there.png", "here.png")]
    assert np.array_equal(shown[0], shown[1])
    (odd / "drawn").mkdir()
    command("predict", segmented(), *images, "--overlay", odd / "drawn", "--on", "board")
    assert len(list((odd / "drawn").iterdir())) == 2


def test_a_long_answer_comes_whole(exported: Exported, odd: Path, command: Command) -> None:
    image = odd / "one.png"
    Image.fromarray(random_images(1)[0]).save(image)
    out, _ = command("predict", exported("onnxruntime"), *[image] * 400, "-k", "10", "--on", "board", "--json")
    assert len(out) > 1 << 18 and len(json.loads(out)["images"]) == 400


def test_bench_measures_there_and_is_kept_here(exported: Exported, tmp_path: Path, command: Command) -> None:
    kept = tmp_path / "bench.json"
    _, err = command("bench", exported("onnxruntime"), *BRIEF, "--on", "board", "-o", kept)
    document = read_document(kept)
    assert document.device == "board" and document.results[0].p50_ms > 0 and not document.results[0].layers
    assert "Latency, ms" in err
    command("bench", exported("onnxruntime"), *BRIEF, "--on", "board", "-o", kept)


def test_inspect_and_doctor_look_there(exported: Exported, command: Command) -> None:
    inspected = json.loads(command("inspect", exported("onnxruntime"), "--on", "board", "--json")[0])
    assert inspected["path"] == str(exported("onnxruntime"))
    doctor = json.loads(command("doctor", "--on", "board", "--json")[0])
    assert doctor["export"]["ready"] is False and "torch" in doctor["export"]["missing"]
    assert doctor["targets"]["onnxruntime"]["missing"] is None


def test_two_devices_at_once_and_one_that_fails(exported: Exported, tmp_path: Path, capsys: Capture) -> None:
    bundle, kept = exported("onnxruntime"), tmp_path / "bench.json"
    words = ("bench", bundle, *BRIEF, "--against", "none", "--on", "board", "--on", "local")
    code, out, err = invoke(capsys, *words, "-o", kept, "--json")
    assert code == 0, err
    documents = json.loads(out)["documents"]
    assert list(documents) == ["board", "local"]
    assert [one["device"] for one in documents.values()] == ["board", "local"]
    assert kept.read_text() == out
    row = next(line for line in err.splitlines() if "p50 ms" in line)
    assert len(row.split("p50 ms")[1].split()) == 2, "a column a device"
    code, _, err = invoke(capsys, "verify", bundle, "--on", "board", "--on", "gone", "--on", "bare")
    assert code == 2
    assert "board" in next(line for line in err.splitlines() if "✓" in line)
    assert "✗ gone (nobody@127.0.0.1:9): nothing listens there" in err
    assert "✗ bare: dmformer is not set up there" in err and "dmformer device setup bare" in err


def test_the_exit_code_is_that_of_the_worst(exported: Exported, capsys: Capture) -> None:
    strict = ("verify", exported("onnxruntime"), "--min-sqnr", "500")
    assert invoke(capsys, *strict, "--on", "board")[0] == 1
    assert invoke(capsys, *strict, "--on", "board", "--on", "local")[0] == 1
    assert invoke(capsys, *strict, "--on", "board", "--on", "gone")[0] == 2


def test_a_runtime_that_is_not_there_is_told_with_the_line_to_type(exported: Exported, capsys: Capture) -> None:
    code, _, err = invoke(capsys, "verify", exported("openvino"), "--on", "board")
    assert code == 2
    assert one_line(err) == "error: board: OpenVINO is not installed"
    assert "dmformer device setup board --target openvino" in err


def test_a_bundle_for_another_machine_is_refused_there(copied: Path, capsys: Capture) -> None:
    bundle = copied
    edit_manifest(bundle, lambda document: document["host"].update(gpu="Orin (nvgpu), 8.7, 540.4.0"))
    code, _, err = invoke(capsys, "verify", bundle, "--on", "board")
    assert code == 2
    said = f"error: board: {bundle}: was built for the GPU Orin (nvgpu), 8.7, 540.4.0, which is not here"
    assert one_line(err) == said


def test_a_build_comes_back_whole(exported: Exported, tmp_path: Path, capsys: Capture) -> None:
    """By the agent on this machine: the device behind ssh has none of NVIDIA's libraries."""
    built = tmp_path / "built"
    code, _, err = invoke(capsys, "build", exported("tensorrt-rtx"), "--output", built, "--on", "local")
    assert code == 0, err
    bundle = Bundle.load(built)
    assert bundle.manifest.target == "tensorrt-rtx" and bundle.file("engine").stat().st_size > 0
    code, _, err = invoke(capsys, "build", exported("tensorrt-rtx"), "--output", built, "--on", "local")
    assert code == 2 and "exists already" in one_line(err)
    code, _, err = invoke(capsys, "build", built, "--timing-cache", "x", "--on", "local")
    assert code == 2 and "--timing-cache does not go to another machine" in one_line(err)


def test_an_export_is_built_verified_and_measured_there(
    weights: Path, labelled: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = (
        "export",
        weights,
        "-t",
        "onnxruntime",
        "-t",
        "openvino",
        "--data",
        labelled,
        "--on",
        "board",
        "-o",
        tmp_path,
    )
    code, out, err = invoke(capsys, *words, "--json")
    assert code == 2, err
    document = json.loads(out)
    assert len(document["bundles"]) == 2
    there: dict[str, Any] = document["devices"]["board"]
    assert [record["target"] for record in there["bundles"]] == ["onnxruntime"] and there["bundles"][0]["verified"]
    assert there["latency"]["device"] == "board" and there["latency"]["results"][0]["target"] == "onnxruntime"
    assert [failure["message"] for failure in there["failures"]] == ["board: OpenVINO is not installed"]


def test_a_group_answers_as_several_and_an_unknown_name_gives_the_closest(exported: Exported, capsys: Capture) -> None:
    code, out, _ = invoke(capsys, "doctor", "--on", "all", "--json")
    document = json.loads(out)
    assert code == 2 and list(document["documents"]) == ["board"] and list(document["failures"]) == ["bare", "gone"]
    code, _, err = invoke(capsys, "doctor", "--on", "bord")
    assert code == 2 and one_line(err) == "error: there is no device 'bord'" and "closest name is board" in err


def test_a_command_that_cannot_travel_says_which_can(capsys: Capture) -> None:
    for name in ("embed", "report", "compare"):
        code, _, err = invoke(capsys, name, "--on", "board")
        assert code == 2
        assert f"{name} runs here" in " ".join(err.replace("│", " ").split())


def test_what_several_devices_make_bears_their_names(tmp_path: Path) -> None:
    for name, expected in (("v1.2-int8", "v1.2-int8-pi"), ("a.b.png", "a.b-pi.png"), ("drawn", "drawn-pi")):
        request = PredictOptions(tmp_path, (tmp_path,), overlay=tmp_path / name)
        assert Errand("", request, made=("overlay",)).among_several("pi").request.overlay == tmp_path / expected


def test_options_of_what_is_made_and_stays_are_options() -> None:
    for command in COMMANDS:
        if command.travels is not None:
            names = {leaf.name for leaf in leaves(command.request)}
            assert {*command.travels.made, *command.travels.stays} <= names, command.name
