"""Projects of segmenters: what they find at every pixel, and the pictures that they draw, are Python's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dmformer.bundle import Bundle
from dmformer.embedding.answers import reading
from dmformer.embedding.project import embed
from dmformer.model.checkpoint import save_checkpoint
from dmformer.model.random_weights import random_checkpoint
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.tasks.segmentation_heads import FpnHead
from tests.conftest import Segmented
from tests.embedding.cpp_programs import build, execute, needs_compiler, sanitized
from tests.embedding.segmenters import answers, assert_as_python, pictures
from tests.embedding.test_python import alone
from tests.support import SEGMENTER, invoke, one_line


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a segmenter with one plane of scores."""
    folder = tmp_path_factory.mktemp("binary")
    config = SEGMENTER.model_copy(update={"head": FpnHead(classes=1, neck=8, width=8)})
    checkpoint = random_checkpoint(config, size=64, name="binary")
    save_checkpoint(replace(checkpoint, labels=("crack",), palette=((200, 30, 60),)), folder / "binary.safetensors")
    options = ExportOptions(targets=("openvino",), golden_images=3, output=folder)
    return export_bundles(folder / "binary.safetensors", options)[0].bundle.path


@pytest.mark.parametrize(
    ("target", "argmax"),
    [("onnxruntime", True), ("openvino", True), ("ncnn", True), ("onnxruntime", False), ("binary", False)],
)
def test_python_finds_and_draws_what_dmformer_does(
    segmented: Segmented, binary: Path, tmp_path: Path, target: str, argmax: bool
) -> None:
    bundle = binary if target == "binary" else segmented(target, argmax)
    paths = pictures(tmp_path)
    project = embed(Bundle.load(bundle), "python", tmp_path / "project").path
    assert "$ python segment.py photo.jpg" in (project / "README.md").read_text()
    tested = alone(project, "self_test.py")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert tested.stdout.startswith("engine: 100.0000% of ")
    done = alone(project, "segment.py", *paths, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    expected = answers(bundle, paths)
    assert_as_python(tmp_path / "out", paths, expected)
    shares = [f"{share:7.2%}  {name}" for name, share in expected[0].shares.items()]
    assert [line.strip() for line in done.stdout.splitlines()[1 : 1 + len(shares)]] == [one.strip() for one in shares]


@pytest.fixture(scope="module")
def project(segmented: Segmented, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled C++ project with sanitizers. Not to be changed."""
    folder = tmp_path_factory.mktemp("cpp") / "project"
    path = embed(Bundle.load(segmented("openvino", argmax=True)), "cpp", folder).path
    with sanitized(path):
        build(path)
    return path


@needs_compiler
def test_cpp_finds_and_draws_what_dmformer_does(segmented: Segmented, project: Path, tmp_path: Path) -> None:
    paths = pictures(tmp_path)
    with sanitized(project):
        tested = execute(project / "build" / "self-test", "--threads", "1", "--bench", "0.1")
        done = execute(project / "build" / "segment", "--threads", "1", "--output", tmp_path / "out", *paths)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert tested.stdout.splitlines()[0].endswith("worst difference 0.000 steps of 8 bits")
    assert tested.stdout.splitlines()[1].startswith("engine: ok: 100.0000 % of ")
    assert done.returncode == 0, done.stderr
    expected = answers(segmented("openvino", argmax=True), paths)
    assert_as_python(tmp_path / "out", paths, expected)
    (name, share), *_ = expected[0].shares.items()
    colour = "#{:02x}{:02x}{:02x}".format(*expected[0].palette[expected[0].names.index(name)])
    assert done.stdout.splitlines()[1] == f"  {100 * share:6.2f}%  {colour}  {name}"


@needs_compiler
def test_another_map_is_the_engine_s_fault_and_wrong_input_one_line(project: Path, tmp_path: Path) -> None:
    (tmp_path / "engine").symlink_to(project / "engine")
    (tmp_path / "golden").mkdir()
    for path in (project / "golden").iterdir():
        (tmp_path / "golden" / path.name).write_bytes(path.read_bytes())
    other = tmp_path / "golden" / "001.map.u8"
    np.roll(np.fromfile(other, np.uint8), 9).tofile(other)
    with sanitized(project):
        done = execute(project / "build" / "self-test", "--project", tmp_path)
        other.write_bytes(b"short")
        short = execute(project / "build" / "self-test", "--project", tmp_path)
        nothing = execute(project / "build" / "segment", tmp_path / "nowhere.png")
    assert (done.returncode, done.stdout.splitlines()[1][:16]) == (1, "engine: DIFFERS:")
    assert (short.returncode, nothing.returncode) == (2, 2)
    assert "001.map.u8: has 5 bytes" in one_line(short.stderr)
    assert "nowhere.png: no such file" in one_line(nothing.stderr)


@pytest.mark.parametrize("language", ["cpp", "web"])
def test_what_leaves_the_decision_to_others_is_refused(
    segmented: Segmented, tmp_path: Path, capsys: pytest.CaptureFixture[str], language: str
) -> None:
    code, _, err = invoke(capsys, "embed", segmented("onnxruntime"), "--lang", language, "-o", tmp_path / "p")
    assert code == 2
    assert f"its engine gives scores, and {language} reads a map of classes" in one_line(err)
    assert "export it with --argmax" in err
    assert not (tmp_path / "p").exists()


def test_a_binary_model_has_two_names_and_colours(binary: Path) -> None:
    legend = reading(Bundle.load(binary).manifest).legend
    assert legend.names == ("background", "crack")
    assert legend.palette == ((0, 0, 0), (200, 30, 60))
