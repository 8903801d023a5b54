"""What a terminal shows of Core ML packages: this project's own words alone, unless the libraries' are asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.support import random_images, run

FOREIGN = ("scikit-learn", "sklearn", "libcoreml", "has not been tested", "Warning", "Traceback", "torch version")


@pytest.fixture(scope="module")
def exported_alone(weights: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier, exported by a process of its own."""
    folder = tmp_path_factory.mktemp("terminal")
    done = run(
        "export", weights, "--target", "coreml", "--classifier", "--deployment-target", "iOS15", "--w8a16", "--sizes",
        "64,32x96", "--author", "somebody", "--license", "MIT", "--data", labelled, "-o", folder, "--json",
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    assert_own_words(done.stderr)
    said = " ".join(done.stderr.split())
    assert "the deployment target is raised from iOS15" in said
    assert "takes an image of 8 bits; its normalization is inside the package, of 32x32 or 64x64 or 32x96" in said
    (record,) = json.loads(done.stdout)["bundles"]
    assert record["target"] == "coreml"
    return next(folder.iterdir())


def assert_own_words(text: str) -> None:
    for foreign in FOREIGN:
        assert foreign.lower() not in text.lower(), text


@pytest.mark.parametrize("command", ["verify", "inspect", "predict"])
def test_every_command_is_quiet(exported_alone: Path, command: str, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    Image.fromarray(random_images(1)[0]).save(picture)
    arguments = (exported_alone, picture) if command == "predict" else (exported_alone,)
    done = run(command, *arguments)
    assert done.returncode == 0, done.stderr
    assert_own_words(done.stderr + done.stdout)


def test_the_libraries_are_heard_where_that_is_asked_for(weights: Path, tmp_path: Path) -> None:
    done = run("--verbose", "export", weights, "--target", "coreml", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert any(foreign.lower() in done.stderr.lower() for foreign in FOREIGN), done.stderr


def test_the_metadata_is_what_was_asked_for(exported_alone: Path) -> None:
    specification = (exported_alone / "model.mlpackage/Data/com.apple.CoreML/model.mlmodel").read_bytes()
    for text in (b"somebody", b"MIT", b"classLabel", b"dmformer.preprocessing", b"dmformer.source_sha256"):
        assert text in specification
    manifest = json.loads((exported_alone / "manifest.json").read_text())
    options = manifest["runtime"]["options"]
    assert options["input"] == "image"
    assert options["deployment_target"] == "iOS16"
