"""dmformer on Arm, as a user gets it there: `device setup`, then commands with `--on`.

Figures of accuracy alone: no latency of an emulated machine says anything.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dmformer.devices.inventory import VARIABLE, block
from dmformer.devices.resource import Resource
from tests.arm.carried import BUNDLES, bundle_of
from tests.arm.device import ArmDevice
from tests.support import ROOT, invoke

pytestmark = pytest.mark.arm
LEAST_SQNR_DB = {"fp32": 100.0, "int8": 30.0}
LEAST_EQUAL = {"fp32": 1.0, "int8": 0.995}
"""Of the classes that the same engine gives on this machine, asked of issue 16."""
EXECUTES = {"fp32": "float32", "int8": "int8"}
IMAGES = ROOT / "demo" / "dmformer_demo" / "t10k-images-idx3-ubyte.gz"
COUNT = 500
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="session")
def devices(arm: ArmDevice, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file that names the machine."""
    path = tmp_path_factory.mktemp("devices") / "devices.toml"
    path.write_text(block("arm", Resource(host=arm.name, config=str(arm.ssh_config))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(path))
        yield path


@pytest.fixture(autouse=True)
def _set_up(devices: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Once; after that there is nothing to do."""
    monkeypatch.setenv(VARIABLE, str(devices))
    told(capsys, "device", "setup", "arm", "--target", "onnxruntime", "--carry")


@pytest.fixture(scope="module", params=list(BUNDLES))
def bundle(request: pytest.FixtureRequest, parts: Path) -> tuple[str, Path]:
    """A precision, and a bundle of it for the machine's CPU."""
    return request.param, bundle_of(parts, request.param)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The first test images, as files."""
    folder = tmp_path_factory.mktemp("pictures")
    with gzip.open(IMAGES) as file:
        pixels = np.frombuffer(file.read(16 + COUNT * 28 * 28), np.uint8, offset=16).reshape(COUNT, 28, 28)
    paths = [folder / f"{index:03d}.png" for index in range(COUNT)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    return paths


def told(capsys: Capture, *words: str | Path) -> Any:
    """What a command answers as JSON."""
    code, out, err = invoke(capsys, *words, "--json")
    assert code == 0, err
    return json.loads(out)


def test_a_second_setup_has_nothing_to_do(capsys: Capture) -> None:
    board = told(capsys, "device", "setup", "arm", "--target", "onnxruntime", "--carry")["devices"]["arm"]
    assert (board["state"], board["machine"]) == ("ready", "aarch64") and "nothing to do" in board["notes"][0]
    assert told(capsys, "device", "check", "arm")["devices"]["arm"]["state"] == "ready"


def test_an_engine_answers_there_as_pytorch_did_here(bundle: tuple[str, Path], capsys: Capture) -> None:
    precision, path = bundle
    answer = told(capsys, "verify", path, "--threads", "1", "--on", "arm")
    assert (answer["verified"], answer["verified_by"], answer["failures"]) == (True, "engine", [])
    assert (answer["precision"], answer["executes"]) == (precision, EXECUTES[precision])
    assert answer["data"] == "golden samples" and answer["sqnr_db"] > LEAST_SQNR_DB[precision]
    with capsys.disabled():
        print(f"\nemulated Arm, ONNX Runtime {precision}: {answer['sqnr_db']:.1f} dB, "
              f"{answer['agreement']:.2%} of {answer['images']} golden samples as PyTorch")  # fmt: skip


def test_the_classes_are_those_of_the_same_engine_here(
    bundle: tuple[str, Path], pictures: list[Path], capsys: Capture
) -> None:
    precision, path = bundle
    words: tuple[str | Path, ...] = ("predict", path, *pictures, "--threads", "1", "--top-k", "1")
    there, here = told(capsys, *words, "--on", "arm")["images"], told(capsys, *words)["images"]
    equal = np.mean(
        [one["classes"][0]["index"] == two["classes"][0]["index"] for one, two in zip(there, here, strict=True)]
    )
    with capsys.disabled():
        print(f"\nemulated Arm, ONNX Runtime {precision}: {equal:.2%} of {COUNT} test images as on x86-64")
    assert equal >= LEAST_EQUAL[precision]
    assert [image["path"] for image in there] == list(map(str, pictures))


def test_the_machine_is_told_as_what_it_is(capsys: Capture) -> None:
    answer = told(capsys, "doctor", "--on", "arm")
    assert answer["os"].endswith(" aarch64")
    assert "arm-dotprod" in answer["cpu_isa"]
    assert answer["targets"]["onnxruntime"]["missing"] is None
    assert not answer["export"]["ready"]


def test_it_is_removed_without_a_trace(arm: ArmDevice, capsys: Capture) -> None:
    told(capsys, "device", "remove", "arm", "--keep")
    assert arm.run("ls -A .dmformer-device 2>&1; true").endswith("No such file or directory\n")
