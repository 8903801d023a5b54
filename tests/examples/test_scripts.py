"""The scripts under examples/python, run as their docstrings say."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from dmformer import Classifier
from tests.support import PATIENCE, ROOT, random_images

Exported = Callable[..., Path]
EXAMPLES = ROOT / "examples" / "python"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, image in enumerate(random_images(3)):
        Image.fromarray(image).save(folder / f"{index}.png")
    return folder


def script(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_classify_prints_the_classes_of_every_image(exported: Exported, photos: Path) -> None:
    paths = sorted(photos.iterdir())
    done = script("classify.py", exported("onnxruntime"), *paths)
    assert done.returncode == 0, done.stderr
    with Classifier(exported("onnxruntime")) as classifier:
        best = classifier.predict(paths, top_k=1)
    for line, path, (first,) in zip(done.stdout.splitlines(), paths, best, strict=True):
        assert line.startswith(f"{path}  {first.label} ")


def test_camera_classifies_the_frames_of_a_folder_in_turn_and_tells_its_latency(
    exported: Exported, photos: Path
) -> None:
    done = script("camera.py", exported("onnxruntime"), "--source", photos, "--fps", "500", "--frames", "7")
    assert done.returncode == 0, done.stderr
    *frames, last = done.stdout.splitlines()
    with Classifier(exported("onnxruntime")) as classifier:
        best = classifier.predict(sorted(photos.iterdir()), top_k=1)
    assert [line.rpartition(" ")[0] for line in frames] == [best[index % 3][0].label for index in range(7)]
    assert re.fullmatch(r"7 frames at 500 fps: p50 \d+\.\d\d ms, p99 \d+\.\d\d ms", last)


def test_camera_says_what_is_missing(exported: Exported, tmp_path: Path) -> None:
    done = script("camera.py", exported("onnxruntime"), "--source", tmp_path)
    assert (done.returncode, done.stderr) == (1, f"{tmp_path}: no images there\n")
