"""The C++ project around OpenVINO: compiled as its README says, run, and caught where it is made wrong."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmformer import assets
from dmformer.bundle import Bundle
from dmformer.data.open import open_dataset
from dmformer.embedding.cpp import PARAMETERS_FILE, Cpp, parameters
from dmformer.embedding.project import embed
from dmformer.errors import UsageError
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.preprocessing import load_image, preprocess_batch
from dmformer.runtimes.base import SessionOptions
from dmformer.runtimes.engine import open_engine
from tests.embedding.cpp_programs import build, execute, needs_compiler
from tests.support import ROOT, edit_manifest, logits_on, one_line, outputs, with_fields

Exported = Callable[..., Path]
IMAGES = 1000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The embedded checkpoint, whose answers differ from image to image as a random network's do not."""
    options = ExportOptions(targets=("openvino",), output=tmp_path_factory.mktemp("bundle"), max_images=200)
    outcome = export_bundles(None, options)[0]
    assert outcome.proof.passed, outcome.proof.failures
    return outcome.bundle


@pytest.fixture(scope="module")
def project(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled project. Not to be changed."""
    path = embed(bundle, "cpp", tmp_path_factory.mktemp("cpp") / "project").path
    build(path)
    return path


@needs_compiler
def test_the_self_test_passes_and_measures(project: Path) -> None:
    done = execute(project / "build" / "self-test", "--threads", "1", "--bench", "0.2")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("preprocessing: ok: 32 images, worst difference 0.000")
    assert lines[1].startswith("engine: ok: agreement 100.00 %")
    found = re.fullmatch(r"latency: p50 ([\d.]+) ms, p90 ([\d.]+) ms, batch 1, (\d+) runs", lines[2])
    assert found is not None
    assert 0 < float(found[1]) <= float(found[2])


@needs_compiler
def test_top1_is_python_s_on_a_thousand_images(bundle: Bundle, project: Path, tmp_path: Path) -> None:
    dataset = open_dataset(assets.test_images()).select(range(IMAGES))
    with open_engine(bundle, SessionOptions(threads=1)) as engine:
        expected = logits_on(engine, dataset).argmax(1)
    paths = [tmp_path / f"{index}.png" for index in range(IMAGES)]
    for index, path in enumerate(paths):
        Image.fromarray(dataset.load(index).image).save(path, compress_level=1)
    (tmp_path / "list.txt").write_text("\n".join(map(str, paths)))
    done = execute(project / "build" / "classify", "--list", tmp_path / "list.txt", "--threads", "1")
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[2] for row in rows] == [str(path) for path in paths]
    assert np.array_equal([int(row[0]) for row in rows], expected)


@needs_compiler
def test_classes_and_probabilities_are_python_s(bundle: Bundle, project: Path, tmp_path: Path) -> None:
    photo = ROOT / "examples" / "ankle_boot.png"
    done = execute(project / "build" / "classify", "--top-k", "2", photo)
    logits = outputs(bundle, preprocess_batch([load_image(photo)], bundle.manifest.preprocessing))[0].astype(float)
    shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert bundle.manifest.labels is not None
    expected = [f"  {100 * shares[i]:6.2f}%  {bundle.manifest.labels[i]}" for i in np.argsort(-shares)[:2]]
    assert done.stdout.splitlines() == [str(photo), *expected]


@needs_compiler
def test_a_wrong_mean_is_the_preprocessing_s_fault(bundle: Bundle, tmp_path: Path) -> None:
    path = embed(bundle, "cpp", tmp_path / "project").path
    header = path / PARAMETERS_FILE.format("dmformer_project")
    right = header.read_text()
    mean = f"static_cast<float>({bundle.manifest.preprocessing.mean[1]!r})"
    assert right.count(mean) == 3
    header.write_text(right.replace(mean, "static_cast<float>(0.45)"))
    done = execute(build(path) / "self-test")
    assert done.returncode == 1
    assert done.stdout.startswith("preprocessing: DIFFERS: 32 images")
    assert "engine" not in done.stdout


def other_logits(project: Path) -> None:
    path = project / "golden" / "003.logits.f32"
    (np.fromfile(path, "<f4") + np.float32(0.01)).tofile(path)


def other_weights(project: Path) -> None:
    path = project / "engine" / "model.bin"
    content = np.frombuffer(path.read_bytes(), "<f4").copy()
    content[len(content) // 2 :] *= np.float32(1.05)
    content.tofile(path)


@needs_compiler
@pytest.mark.parametrize("damage", [other_logits, other_weights])
def test_other_answers_are_the_engine_s_fault(project: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    for name in ("engine", "golden"):
        shutil.copytree(project / name, tmp_path / name)
    damage(tmp_path)
    done = execute(project / "build" / "self-test", "--project", tmp_path, "--threads", "1")
    assert done.returncode == 1, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["preprocessing", "engine"]
    assert "engine: DIFFERS: " in done.stdout


def no_engine(project: Path) -> None:
    (project / "engine" / "model.xml").write_text("<net")


def short_tensor(project: Path) -> None:
    (project / "golden" / "000.f32").write_bytes(b"1234")


def no_json(project: Path) -> None:
    (project / "golden" / "golden.json").write_text('{"schema": "dmformer.golden/1", "samples": [')


def golden_is_a_pipe(project: Path) -> None:
    (project / "golden" / "000.f32").unlink()
    os.mkfifo(project / "golden" / "000.f32")


def golden_has_no_end(project: Path) -> None:
    os.truncate(project / "golden" / "000.f32", 1 << 34)


def no_golden(project: Path) -> None:
    shutil.rmtree(project / "golden")


WRONG_PROJECTS: dict[Callable[[Path], None], str] = {
    no_engine: "model.xml",
    short_tensor: "000.f32",
    no_json: "golden.json",
    no_golden: "golden.json",
    golden_is_a_pipe: "000.f32: is missing, or no regular file",
    golden_has_no_end: "000.f32: is larger than 512 MiB",
}


@needs_compiler
@pytest.mark.parametrize("damage", WRONG_PROJECTS)
def test_what_cannot_be_told_is_one_line(project: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    for name in ("engine", "golden"):
        shutil.copytree(project / name, tmp_path / name)
    damage(tmp_path)
    assert WRONG_PROJECTS[damage] in refusal(project / "build" / "self-test", "--project", tmp_path)


def refusal(*command: str | Path) -> str:
    done = execute(*command)
    assert done.returncode == 2, done.stdout + done.stderr
    # OpenVINO's libraries may say something of their own besides.
    return one_line(done.stderr)


@needs_compiler
def test_wrong_input_of_the_programs_is_one_line(project: Path, tmp_path: Path) -> None:
    classify = project / "build" / "classify"
    Image.new("1", (10_000, 10_000)).save(tmp_path / "huge.png")
    (tmp_path / "text.png").write_text("hello")
    assert "10000x10000 pixels are more than the limit" in refusal(classify, tmp_path / "huge.png")
    assert "text.png: is not a JPEG or PNG image" in refusal(classify, tmp_path / "text.png")
    assert "no image was named" in refusal(classify)
    assert "nowhere: cannot be read" in refusal(classify, "--list", "nowhere")
    assert "--top-k 0: is no such number" in refusal(classify, "--top-k", "0", "x.png")
    assert "--nonsense" in refusal(classify, "--nonsense", "x")
    for words in (("--threads", "x"), ("--bench", "-1"), ("--nonsense", "1"), ("--threads",)):
        refusal(project / "build" / "self-test", *words)


@pytest.mark.parametrize("target", ["onnxruntime", "onnx"])
def test_the_project_of_another_runtime_has_its_sources(target: str, exported: Exported, tmp_path: Path) -> None:
    path = embed(Bundle.load(exported(target)), "cpp", tmp_path / "p").path
    assert "onnxruntime_cxx_api.h" in (path / "src" / "engine.cpp").read_text()
    assert "ONNXRUNTIME_ROOT" in (path / "cmake" / "engine.cmake").read_text()
    assert "was not compiled" in (path / "README.md").read_text()
    assert 'kEngineFile = "model.onnx"' in (path / PARAMETERS_FILE.format("dmformer_p")).read_text()
    assert "options() { return {}; }" in (path / PARAMETERS_FILE.format("dmformer_p")).read_text()


def test_a_tensorrt_bundle_is_built_on_the_device_first(copied: Path, tmp_path: Path) -> None:
    def pretend(manifest: dict[str, object]) -> None:
        manifest["target"] = "tensorrt"

    edit_manifest(copied, pretend)
    path = embed(Bundle.load(copied), "cpp", tmp_path / "p").path
    assert "enqueueV3" in (path / "src" / "engine.cpp").read_text()
    edit_manifest(copied, lambda m: m["files"]["model.onnx"].update(role="graph"))
    with pytest.raises(UsageError, match="not built yet"):
        Cpp().files(Bundle.load(copied), "p")


def test_labels_are_text_whatever_is_in_them(copied: Path) -> None:
    hostile = ['"};', "\\", "a\nb", "é", "??=", "%s", *"6789"]
    header = parameters(with_fields(Bundle.load(copied), labels=hostile), "dmformer_p")
    assert '"\\042};",' in header
    assert '"a\\012b",' in header
    assert '"\\303\\251",' in header
    assert header.isascii()


def test_an_engine_of_half_floats_is_refused(copied: Path, tmp_path: Path) -> None:
    half = Bundle.load(copied).manifest.input.model_copy(update={"dtype": "float16"})
    with pytest.raises(UsageError, match="takes float16, and cpp gives float32 or uint8"):
        embed(with_fields(Bundle.load(copied), input=half), "cpp", tmp_path / "p")
    assert not (tmp_path / "p").exists()
