"""C++ projects in applications: the page's example, two projects in one program, installed and moved elsewhere."""

from __future__ import annotations

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
from dmformer.embedding.cpp import PARAMETERS_FILE, package_name
from dmformer.embedding.languages import template_files
from dmformer.embedding.project import embed
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.runtimes.base import SessionOptions
from dmformer.runtimes.engine import open_engine
from tests.embedding.cpp_programs import COMMON, build, execute, needs_compiler, sanitized
from tests.embedding.documents import examples_of, run_page
from tests.support import ROOT, logits_on

Exported = Callable[..., Path]
PAGE = ROOT / "docs" / "embed-cpp.md"
APPLICATION = """
cmake_minimum_required(VERSION 3.16)
project(application CXX)
enable_testing()
add_subdirectory(floats)
add_subdirectory("raw pixels")
add_executable(application main.cpp)
target_link_libraries(application PRIVATE dmformer_floats::dmformer_floats dmformer_raw_pixels::dmformer_raw_pixels)
"""
MAIN = """
#include "dmformer_floats/classifier.hpp"
#include "dmformer_raw_pixels/classifier.hpp"
#include <cstdio>

int main(int, char** words) {
  const std::string home = words[1];
  dmformer_floats::Classifier one(home + "/dmformer_floats/engine");
  dmformer_raw_pixels::Classifier other(home + "/dmformer_raw_pixels/engine");
  std::printf("%s\\n", one.predict(dmformer_floats::load_image(words[2])).front().label.c_str());
  std::printf("%s\\n", other.predict(dmformer_raw_pixels::load_image(words[2])).front().label.c_str());
}
"""


@pytest.mark.page
@needs_compiler
def test_every_command_and_example_of_the_page_works(tmp_path: Path) -> None:
    for name, kind in (("CMakeLists.txt", "cmake"), ("main.cpp", "cpp")):
        (example,) = examples_of(PAGE, kind)
        (tmp_path / name).write_text(example)
    with sanitized(tmp_path):
        done = run_page(PAGE, tmp_path)
    assert done.returncode == 0, done.stdout
    assert "engine: ok" in done.stdout
    answers = done.stdout.partition("+ build/application")[2].partition("\n++ ")[0]
    assert re.fullmatch(r".*engine(\n.+ 0\.\d+){3}\n\D+", answers), answers


@needs_compiler
def test_a_reference_into_a_temporary_image_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "row.cpp"
    compiled = {}
    for value in ('load_image("x")', "kept"):
        source.write_text(
            '#include "dmformer/image.hpp"\nusing namespace dmformer;\nconst std::uint8_t* row(const Image& kept) '
            f"{{ (void)kept; return {value}.row(0); }}\n"
        )
        compiled[value] = execute("g++", "-std=c++17", "-fsyntax-only", "-I", COMMON / "include", source)
    assert [done.returncode == 0 for done in compiled.values()] == [False, True]
    assert "deleted function" in compiled['load_image("x")'].stderr


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The embedded checkpoint as an engine that takes pixels."""
    output = tmp_path_factory.mktemp("pixels")
    options = ExportOptions(
        targets=("openvino",), output=output, max_images=100, golden_images=8, embed_preprocessing=True
    )
    return export_bundles(None, options)[0].bundle


@pytest.fixture(scope="module")
def home(pixels: Bundle, exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two projects compiled into one application and installed; afterwards all of it was moved. Not to be changed."""
    built = tmp_path_factory.mktemp("built") / "a b (c) é"
    embed(Bundle.load(exported("openvino")), "cpp", built / "floats")
    embed(pixels, "cpp", built / "raw pixels")
    (built / "CMakeLists.txt").write_text(APPLICATION)
    (built / "main.cpp").write_text(MAIN)
    build(built)
    done = execute("ctest", cwd=built / "build")
    assert "100% tests passed, 0 tests failed out of 2" in done.stdout, done.stdout
    installed = execute("cmake", "--install", "build", "--prefix", "installed", cwd=built)
    assert installed.returncode == 0, installed.stderr
    moved = tmp_path_factory.mktemp("moved") / "elsewhere"
    shutil.move(built / "installed", moved)
    shutil.move(built / "build" / "application", moved)
    shutil.rmtree(built)
    left = [path for path in moved.rglob("*") if path.is_file() and str(built).encode() in path.read_bytes()]
    assert not left, "nothing that is installed knows where it was made"
    return moved / "lib"


@needs_compiler
def test_two_projects_in_one_program_answer_each_for_itself(home: Path, pixels: Bundle, exported: Exported) -> None:
    photo = ROOT / "examples" / "ankle_boot.png"
    done = execute(home.parent / "application", home, photo)
    assert done.returncode == 0, done.stderr
    alone = [
        execute(home / f"dmformer_{name}" / "classify", "--top-k", "1", photo) for name in ("floats", "raw_pixels")
    ]
    assert done.stdout.split("\n")[:2] == [one.stdout.splitlines()[1].split("%  ")[1] for one in alone]


@needs_compiler
@pytest.mark.parametrize("name", ["floats", "raw_pixels"])
def test_what_was_moved_proves_itself_from_anywhere(home: Path, tmp_path: Path, name: str) -> None:
    done = execute(home / f"dmformer_{name}" / "self-test", "--threads", "1", "--bench", "0.1", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "worst difference 0.000" in done.stdout


@needs_compiler
def test_an_engine_that_takes_pixels_answers_as_python_does(home: Path, pixels: Bundle, tmp_path: Path) -> None:
    programs = home / "dmformer_raw_pixels"
    header = (home.parent / PARAMETERS_FILE.format(programs.name)).read_text()
    assert "using Input = std::uint8_t;" in header
    assert "kInputShape{32, 32, 3};" in header
    dataset = open_dataset(assets.test_images()).select(range(100))
    with open_engine(pixels, SessionOptions(threads=1)) as engine:
        expected = logits_on(engine, dataset).argmax(1)
    paths = [tmp_path / f"{index}.png" for index in range(100)]
    for index, path in enumerate(paths):
        Image.fromarray(dataset.load(index).image).save(path)
    (tmp_path / "list.txt").write_text("\n".join(map(str, paths)))
    listed = execute(programs / "classify", "--list", tmp_path / "list.txt", "--threads", "1")
    assert [int(line.split("\t")[0]) for line in listed.stdout.splitlines()] == expected.tolist()
    for folder in ("engine", "golden"):
        shutil.copytree(programs / folder, tmp_path / folder)
    wrong = np.fromfile(programs / "golden" / "002.input.u8", np.uint8)
    (wrong ^ 2).tofile(tmp_path / "golden" / "002.input.u8")
    done = execute(programs / "self-test", "--threads", "1", "--project", tmp_path)
    assert (done.returncode, done.stdout[:22]) == (1, "preprocessing: DIFFERS")


def test_a_name_becomes_one_that_cpp_and_cmake_allow() -> None:
    names = ("classifier", "My Shoes 2", "int", "2nd-try", "a__b", "", "né", "花")
    found = [package_name(name).removeprefix("dmformer") for name in names]
    assert found == ["_classifier", "_my_shoes_2", "_int", "_2nd_try", "_a_b", "", "_nue9", "_u82b1"]


def test_nothing_of_a_project_has_the_templates_name(exported: Exported, tmp_path: Path) -> None:
    """Whatever the runtime: those that are not compiled here too."""
    for target in ("openvino", "onnxruntime"):
        project = embed(Bundle.load(exported(target)), "cpp", tmp_path / target, name="x").path
        for path in [*project.rglob("*.?pp"), *project.rglob("*.h"), *project.rglob("CMakeLists.txt")]:
            text = path.read_text()
            assert "dmformer::" not in text, path
            assert "namespace dmformer " not in text
            assert '"dmformer/' not in text
        assert not (project / "include" / "dmformer").exists()
    tensorrt = template_files("cpp/tensorrt")["cmake/engine.cmake"]
    assert isinstance(tensorrt, Path)
    assert "ENGINE_RUNTIME" in tensorrt.read_text()
