"""A target that nobody has seen: the page that says how one is added, executed and taken through the commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from dmformer.bundle import Bundle
from dmformer.targets import TARGETS
from tests.support import Command, added_by, finish, invoke, one_line, random_images, start


@pytest.fixture(scope="module")
def abacus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The file and the row of the page."""
    with added_by("new-target.md", TARGETS, tmp_path_factory.mktemp("added")) as name:
        yield name


def test_one_file_and_one_row_are_enough(
    abacus: str, command: Command, weights: Path, labelled: Path, tmp_path: Path
) -> None:
    out, _ = command("export", weights, "-t", abacus, "-o", tmp_path, "--data", labelled, "--json")
    (record,) = json.loads(out)["bundles"]
    bundle = tmp_path / "mini-abacus-fp32"
    assert (record["target"], record["executes"]) == (abacus, "float32")
    assert Bundle.load(bundle).manifest.runtime.name == abacus

    command("verify", bundle)
    picture = tmp_path / "picture.png"
    Image.fromarray(random_images(1)[0]).save(picture)
    assert "class " in command("predict", bundle, picture, "--json")[0]
    assert abacus in command("inspect", bundle)[1]
    assert f"--target {abacus}" in command("doctor")[1]

    brief = ("--duration", "0.05", "--launches", "1", "--warmup", "0", "--against", "none")
    measured = tmp_path / "bench.json"
    document = json.loads(command("bench", bundle, *brief, "--json", "-o", measured)[0])
    (result,) = document["results"]
    assert (result["target"], result["provider"]) == (abacus, "abacus")
    assert any("cannot be looked into" in note for note in document["notes"]), "no inspector, no layers"

    page = tmp_path / "report.html"
    command("report", page, measured, bundle)
    assert "abacus" in page.read_text()

    project = tmp_path / "project"
    command("embed", bundle, "--lang", "python", "-o", project)
    assert "\nonnxruntime>=" in (project / "requirements.txt").read_text(), "not in the version of another library"
    done = start(program=(sys.executable, str(project / "self_test.py")))
    assert finish(done).returncode == 0


def test_what_its_row_does_not_say_is_refused_in_one_line(
    abacus: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, words in (
        (("--int8",), "abacus: INT8 is not made for this target"),
        (("--device", "npu"), "abacus runs on the CPU here"),
        (("--workspace", "2"), "belongs to engines for NVIDIA's libraries"),
    ):
        code, _, err = invoke(capsys, "export", weights, "-t", abacus, "-o", tmp_path / "out", *arguments)
        assert code == 2 and words in one_line(err)
        assert not (tmp_path / "out").exists()
