"""The Swift package around a Core ML bundle: generated, parsed, held against the manifest. Never compiled here."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tree_sitter
import tree_sitter_swift

from dmformer.bundle import Bundle
from dmformer.embedding.answers import reading
from dmformer.embedding.languages import TEMPLATES
from dmformer.embedding.project import embed
from dmformer.embedding.swift import PARAMETERS_FILE, RESOURCES, floats, package, parameters
from dmformer.errors import BundleError, UsageError
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.preprocessing import Preprocessing
from tests.conftest import Exported, Segmented
from tests.embedding.cpp_programs import execute
from tests.embedding.documents import examples_of, run_page
from tests.support import ROOT, edit_manifest, invoke, one_line, with_fields

pytest.importorskip("coremltools", reason="coremltools is not installed")

FOLDERS = (TEMPLATES / "swift" / "common", TEMPLATES / "swift" / "tasks" / "classification")
SOURCES = sorted(path for folder in FOLDERS for path in folder.rglob("*.swift"))
EVERY_SOURCE = sorted((TEMPLATES / "swift").rglob("*.swift"))


@pytest.fixture(scope="module")
def bundle(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    output = tmp_path_factory.mktemp("coreml")
    options = ExportOptions(targets=("coreml",), precision="fp16", golden_images=3, output=output)
    return export_bundles(weights, options)[0].bundle


@pytest.fixture(scope="module")
def project(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return embed(bundle, "swift", tmp_path_factory.mktemp("swift") / "project").path


@pytest.fixture
def changed(bundle: Bundle, tmp_path: Path) -> Path:
    """A copy of the bundle, to be changed."""
    return Path(shutil.copytree(bundle.path, tmp_path / "bundle"))


def faults(source: bytes) -> list[str]:
    """Where a Swift parser stumbles."""
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_swift.language()))

    def found(node: tree_sitter.Node) -> Iterator[str]:
        if node.type == "ERROR" or node.is_missing:
            yield f"line {node.start_point[0] + 1}: {node.type}"
        for child in node.children:
            yield from found(child)

    return list(found(parser.parse(source).root_node))


@pytest.mark.parametrize("path", EVERY_SOURCE, ids=lambda path: path.name)
def test_every_source_is_swift(path: Path) -> None:
    assert not faults(path.read_bytes())


def test_every_example_of_the_page_is_swift() -> None:
    examples = examples_of(ROOT / "docs" / "embed-swift.md", "swift")
    assert examples
    assert not [fault for example in examples for fault in faults(example.encode())]


def test_the_parser_finds_faults() -> None:
    source = (TEMPLATES / "swift/common/Sources/DMFormer/Resampling.swift").read_bytes()
    assert faults(source.replace(b"for out in 0..<outSize {", b"for out in 0..<outSize", 1))
    assert faults(source + b"}")


def test_the_project_is_whole(bundle: Bundle, project: Path) -> None:
    resources = project / RESOURCES
    engine = bundle.file("engine").relative_to(bundle.path)
    for name, entry in bundle.manifest.files.items():
        if entry.role != "golden":
            assert (resources / "engine" / name).read_bytes() == (bundle.path / name).read_bytes()
    assert engine.parts[0] == "model.mlpackage"
    assert len(list((resources / "golden").glob("*.f32"))) == 2 * len(bundle.golden().images)
    for source in SOURCES:
        (folder,) = (folder for folder in FOLDERS if folder in source.parents)
        assert (project / source.relative_to(folder)).read_bytes() == source.read_bytes()
    generated = [project / "Package.swift", project / PARAMETERS_FILE]
    assert not [fault for path in generated for fault in faults(path.read_bytes())]
    # Every folder that the package names is there.
    targets = re.findall(r'\.(?:executableTarget|testTarget|target)\(name: "([^"]+)"', generated[0].read_text())
    assert len(targets) == 4
    for name in targets:
        assert (project / ("Tests" if name.endswith("Tests") else "Sources") / name).is_dir()
    readme = (project / "README.md").read_text()
    assert "**Not run here**" in readme
    assert "$ swift run -c release self-test" in readme


def test_what_belongs_to_the_bundle_is_in_the_parameters(bundle: Bundle, project: Path) -> None:
    source = (project / PARAMETERS_FILE).read_text()
    spec = bundle.manifest.preprocessing
    found = {name: values for name, values in re.findall(r"(mean|deviation): \[(.*)\]", source)}
    for name, values in (("mean", spec.mean), ("deviation", spec.std)):
        assert [float(value) for value in re.findall(r"Double\((.*?)\)", found[name])] == list(values)
    for line in (
        f"height: {spec.size[0]},", f"width: {spec.size[1]},", f"resize: .{spec.resize},",
        f"shorterSide: {spec.shorter_side},", f"filter: .{spec.interpolation},", f"order: .{spec.channel_order},",
        f"fill: {spec.fill}", 'static let package = "model.mlpackage"', "static let takesImage = true",
        'static let input = "image"', 'static let output = "logits"', "static let batch = 1",
        "static let classes = 10", "MLComputeUnits.all",
    ):  # fmt: skip
        assert line in source, line
    assert re.findall(r'^ {8,}"(.*)",$', source, re.M) == list(bundle.manifest.labels or ())
    assert '.iOS("15.0"), .macOS("12.0")' in (project / "Package.swift").read_text()


def test_a_segmenter_has_its_own_sources_and_maps(segmented: Segmented, tmp_path: Path) -> None:
    bundle = Bundle.load(segmented("coreml", True, "fp16"))
    project = embed(bundle, "swift", tmp_path / "project").path
    generated = [project / "Package.swift", project / PARAMETERS_FILE]
    assert not [fault for path in generated for fault in faults(path.read_bytes())]
    assert 'executableTarget(name: "segment"' in generated[0].read_text()
    assert "$ swift run -c release segment photo.jpg" in (project / "README.md").read_text()
    source = generated[1].read_text()
    assert 'static let output = "classes"' in source
    assert f"static let outputElements = {64 * 64}" in source
    colours = re.findall(r"^ {8}\[(\d+), (\d+), (\d+)\],$", source, re.M)
    assert [tuple(map(int, colour)) for colour in colours] == list(reading(bundle.manifest).legend.palette or ())
    own = TEMPLATES / "swift" / "tasks" / "segmentation"
    for path in own.rglob("*.swift"):
        assert (project / path.relative_to(own)).read_bytes() == path.read_bytes()
    assert not (project / "Sources" / "classify").exists()
    (width, height) = bundle.golden().images[0].shape[1::-1]
    assert (project / RESOURCES / "golden" / "000.map.i32").stat().st_size == 4 * width * height
    with pytest.raises(UsageError, match="gives scores, and swift reads a map of classes"):
        embed(with_fields(bundle, answer=None), "swift", tmp_path / "other")


@pytest.mark.parametrize(
    ("option", "value", "line"),
    [
        ("input", "tensor", "static let takesImage = false"),
        ("compute_units", "cpu-and-ne", "MLComputeUnits.cpuAndNeuralEngine"),
        ("compute_units", "cpu", "MLComputeUnits.cpuOnly"),
    ],
)
def test_options_of_the_bundle_are_the_package_s(changed: Path, option: str, value: str, line: str) -> None:
    edit_manifest(changed, lambda manifest: manifest["runtime"]["options"].update({option: value}))
    assert line in parameters(Bundle.load(changed))


def test_the_system_that_the_package_is_for(changed: Path) -> None:
    edit_manifest(changed, lambda manifest: manifest["runtime"]["options"].update(deployment_target="iOS17"))
    assert 'platforms: [.iOS("17.0"), .macOS("14.0")]' in package(Bundle.load(changed))


@pytest.mark.parametrize("name", ["deployment_target", "compute_units"])
def test_options_that_are_not_known_are_refused(changed: Path, tmp_path: Path, name: str) -> None:
    edit_manifest(changed, lambda manifest: manifest["runtime"]["options"].update({name: '"); evil("'}))
    with pytest.raises(BundleError, match=f"the runtime option {name} cannot be"):
        embed(Bundle.load(changed), "swift", tmp_path / "project")
    assert not (tmp_path / "project").exists()


def test_nothing_in_a_manifest_becomes_code(changed: Path) -> None:
    labels = ['"', "\\(exit(1))", "a\nb", "é", "\u2028", "#", *"6789"]
    source = parameters(with_fields(Bundle.load(changed), labels=labels))
    assert source.isascii()
    assert not faults(source.encode())
    found = re.findall(r'^ {8,}"(.*)",$', source, re.M)
    assert [re.sub(r"\\u\{([0-9A-F]+)\}", lambda code: chr(int(code[1], 16)), label) for label in found] == labels


def test_floats_are_those_of_numpy() -> None:
    values = (0.485, 1e-6, -0.25, 1e6)
    found = [np.float32(float(value)) for value in re.findall(r"Double\((.*?)\)", floats(values))]
    assert found == [np.float32(value) for value in values]


def test_every_kind_of_preprocessing_has_its_case_in_the_sources() -> None:
    source = (TEMPLATES / "swift/common/Sources/DMFormer/Preprocessing.swift").read_text()
    filters = (TEMPLATES / "swift/common/Sources/DMFormer/Resampling.swift").read_text()
    schema = Preprocessing.model_json_schema()["properties"]
    for field, within in (("resize", source), ("channel_order", source), ("interpolation", filters)):
        for name in schema[field]["enum"]:
            assert re.search(rf"\bcase .*\b{name}\b", within), name


def test_other_bundles_are_told_who_runs_them(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = invoke(capsys, "embed", exported("openvino"), "--lang", "swift", "-o", tmp_path / "project")
    assert code == 2
    assert "openvino, which swift cannot run" in one_line(err)
    assert "swift runs coreml: make such a bundle" in err
    assert "openvino is run by python, cpp" in " ".join(err.split())
    assert not (tmp_path / "project").exists()


def test_every_command_of_the_page_that_needs_no_mac_works(tmp_path: Path) -> None:
    done = run_page(ROOT / "docs" / "embed-swift.md", tmp_path)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "DMFormer" / "Package.swift").is_file()


@pytest.mark.skipif(shutil.which("swift") is None, reason="there is no Swift compiler here")
def test_its_preprocessing_is_python_s_where_swift_is(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "project")
    done = execute("swift", "run", "self-test", "--preprocessing-only", cwd=tmp_path / "project")
    assert "preprocessing: ok: 3 images" in done.stdout, done.stdout + done.stderr
