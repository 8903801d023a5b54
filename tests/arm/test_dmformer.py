"""dmformer on Arm: what ONNX Runtime computes there, in FP32 and in INT8, agrees with PyTorch here."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.arm.carried import BUNDLES, bundle_of, put
from tests.arm.device import ArmDevice
from tests.support import ROOT

pytestmark = pytest.mark.arm
LEAST_SQNR_DB = {"fp32": 100.0, "int8": 30.0}
EXECUTES = {"fp32": "float32", "int8": "int8"}
IMAGES = "t10k-images-idx3-ubyte.gz"
DATA = ROOT / "demo" / "dmformer_demo"
ANKLE_BOOT = 9
"""The class of the first image."""


@pytest.fixture(scope="module", params=list(BUNDLES))
def bundle(request: pytest.FixtureRequest, arm: ArmDevice, parts: Path) -> tuple[str, str]:
    """A precision, and where a bundle of it is on the machine."""
    made = bundle_of(parts, request.param)
    put(arm, made, "bundles")
    return request.param, f"bundles/{made.name}"


def told(arm: ArmDevice, words: str) -> Any:
    """What a command answers as JSON; ONNX Runtime finds nothing to complain of on the way."""
    answer = json.loads(arm.run(f"{words} --json 2>said", timeout=900))
    said = arm.run("cat said")
    assert "warning" not in said.lower(), said
    return answer


def test_an_engine_answers_there_as_pytorch_did_here(arm: ArmDevice, dmformer: str, bundle: tuple[str, str]) -> None:
    precision, place = bundle
    answer = told(arm, f"{dmformer} verify {place} --threads 1")
    assert (answer["verified"], answer["verified_by"], answer["failures"]) == (True, "engine", [])
    assert (answer["precision"], answer["executes"], answer["data"]) == (
        precision,
        EXECUTES[precision],
        "golden samples",
    )
    assert answer["sqnr_db"] > LEAST_SQNR_DB[precision]


def test_images_that_are_put_there_are_counted(arm: ArmDevice, dmformer: str, bundle: tuple[str, str]) -> None:
    for name in (IMAGES, "t10k-labels-idx1-ubyte.gz"):
        put(arm, DATA / name, "data")
    answer = told(arm, f"{dmformer} verify {bundle[1]} --threads 1 --max-images 32 --data data/{IMAGES}")
    assert (answer["verified"], answer["images"], answer["data"]) == (True, 32, IMAGES)
    assert answer["figures"]["top1"]["engine"] > 85


def test_an_image_is_named_there(arm: ArmDevice, dmformer: str, bundle: tuple[str, str], tmp_path: Path) -> None:
    with gzip.open(DATA / IMAGES) as file:
        pixels = np.frombuffer(file.read(16 + 28 * 28), np.uint8, offset=16).reshape(28, 28)
    Image.fromarray(pixels).save(tmp_path / "first.png")
    put(arm, tmp_path / "first.png", "images")
    (image,) = told(arm, f"{dmformer} predict {bundle[1]} images/first.png --threads 1")["images"]
    assert len(image["classes"]) == 5
    assert image["classes"][0]["index"] == ANKLE_BOOT
    assert image["classes"][0]["probability"] > 0.9


def test_the_machine_is_told_as_what_it_is(arm: ArmDevice, dmformer: str) -> None:
    answer = told(arm, f"{dmformer} doctor")
    assert answer["os"].endswith(" aarch64")
    assert "arm-dotprod" in answer["cpu_isa"]
    assert answer["targets"]["onnxruntime"]["missing"] is None
    assert not answer["export"]["ready"]
