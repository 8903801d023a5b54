"""``dmformer embed``: what every project has, whatever its language, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmformer.bundle import Bundle
from dmformer.embedding import cpp, python
from dmformer.embedding.languages import LANGUAGES, Content, Step, template_files
from dmformer.embedding.project import embed
from dmformer.embedding.samples import tolerance_of
from dmformer.errors import BundleError, UsageError
from dmformer.preprocessing import preprocess
from dmformer.runtimes.openvino import PRECISION_HINT
from tests.support import edit_manifest, invoke, one_line, snapshot, with_fields, world

Exported = Callable[..., Path]
Capture = pytest.CaptureFixture[str]


class Plain:
    """The smallest language: it runs ONNX Runtime's bundles and has one file."""

    name = "plain"
    title = "Plain"
    targets = ("onnxruntime", "onnx")
    inputs = ("float32", "uint8")
    decides = True
    resources = "res"

    def files(self, bundle: Bundle, name: str) -> Mapping[str, Content]:
        return {"src/main.plain": b"main", "copied": bundle.file("golden")}

    def steps(self, bundle: Bundle) -> tuple[Step, ...]:
        return (Step("plain build", "builds [it]"), Step("plain run", "runs it"))

    def notes(self, bundle: Bundle, name: str) -> str:
        return "Plain notes."


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(LANGUAGES, "plain", f"{__name__}:Plain")
    return "plain"


def test_a_project_is_whole(plain: str, exported: Exported, tmp_path: Path) -> None:
    bundle = Bundle.load(exported("onnxruntime"))
    project = embed(bundle, plain, tmp_path / "deep" / "project")
    found = {path.relative_to(project.path).as_posix() for path in project.path.rglob("*") if path.is_file()}
    assert {"src/main.plain", "README.md", "dmformer.json", "res/engine/model.onnx", "res/golden/golden.json"} <= found
    assert (project.files, project.bytes) == (
        len(found),
        sum((project.path / name).stat().st_size for name in found),
    )
    assert (project.path / "res/engine/model.onnx").read_bytes() == bundle.file("engine").read_bytes()
    assert (project.path / "copied").read_bytes() == bundle.file("golden").read_bytes()
    readme = (project.path / "README.md").read_text()
    assert "$ plain build    # builds [it]\n$ plain run" in readme
    assert readme.endswith("Plain notes.\n")
    mark = json.loads((project.path / "dmformer.json").read_text())
    assert (mark["schema"], mark["language"], mark["target"]) == ("dmformer.project/1", "plain", "onnxruntime")


def test_the_same_bundle_gives_the_same_bytes(plain: str, exported: Exported, tmp_path: Path) -> None:
    bundle = Bundle.load(exported("onnxruntime"))
    one, other = (embed(bundle, plain, tmp_path / name, name="shoes").path for name in "ab")
    assert snapshot(one) == snapshot(other)
    assert (one / "README.md").read_text().startswith("# shoes in Plain\n")


def test_a_bundle_below_its_tolerance_is_refused_whatever_it_is_called(
    plain: str, copied: Path, tmp_path: Path, capsys: Capture
) -> None:
    failures = ["test set: agreement 90.50% is below 97.00%"]
    edit_manifest(copied, lambda manifest: manifest["proof"].update(passed=False, failures=failures))
    code, _, err = invoke(capsys, "embed", copied, "--lang", plain, "-o", tmp_path / "p")
    assert code == 2
    assert f"was rejected: {failures[0]}" in one_line(err)
    assert "--min-agreement" in err
    assert not (tmp_path / "p").exists()


def test_golden_samples_say_what_a_self_test_needs(plain: str, exported: Exported, tmp_path: Path) -> None:
    bundle = Bundle.load(exported("onnxruntime"))
    folder = embed(bundle, plain, tmp_path / "project").path / "res" / "golden"
    document = json.loads((folder / "golden.json").read_text())
    golden = bundle.golden()
    assert len(document["samples"]) == len(golden.images)
    for index, sample in enumerate(document["samples"]):
        shape = (sample["height"], sample["width"], sample["channels"])
        pixels = np.frombuffer((folder / sample["pixels"]).read_bytes(), np.uint8).reshape(shape)
        tensor = np.frombuffer((folder / sample["tensor"]).read_bytes(), "<f4").reshape(document["shape"])
        assert np.array_equal(preprocess(pixels, bundle.manifest.preprocessing), tensor)
        logits = np.frombuffer((folder / sample["logits"]).read_bytes(), "<f4")
        assert np.array_equal(logits, golden.outputs[index])
        assert len(logits) == document["classes"]
    deviations = bundle.manifest.preprocessing.std
    steps = [allowed * std * 255 for allowed, std in zip(document["tolerance"]["tensor"], deviations, strict=True)]
    assert steps == pytest.approx([1.01] * 3), "one step of 8 bits in every channel"
    assert document["tolerance"]["min_sqnr_db"] == 80.0


def test_agreement_leaves_few_images_room_for_chance(exported: Exported) -> None:
    bundle = Bundle.load(exported("onnxruntime"))
    assert tolerance_of(bundle, 6)["min_agreement"] == 5 / 6
    assert tolerance_of(bundle, 200)["min_agreement"] == 199 / 200


def test_the_command_says_what_to_type_next(plain: str, exported: Exported, capsys: Capture) -> None:
    code, out, err = invoke(capsys, "embed", exported("onnxruntime"), "--lang", plain, "-o", "my [x]", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["schema"] == "dmformer.embed/1"
    assert (document["path"], document["commands"]) == ("my [x]", ["plain build", "plain run"])
    assert "my [x]" in err
    assert "plain build  # builds [it]" in err
    assert invoke(capsys, "embed", exported("onnxruntime"), "--lang", plain, "-o", "other")[:2] == (0, "")


def refused(capsys: Capture, folder: Path, *arguments: str | Path) -> tuple[str, str]:
    """The error's line and all that was said; nothing may have changed on disk."""
    before = world(folder)
    code, out, err = invoke(capsys, "embed", *arguments)
    assert (code, out) == (2, ""), err
    assert world(folder) == before
    return one_line(err), err


def test_what_is_refused_in_one_line(
    plain: str, exported: Exported, copied: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = ("--output", tmp_path / "project")
    line, said = refused(capsys, tmp_path, copied, "--lang", "cobol", *out)
    assert "no language 'cobol'" in line
    assert all(name in said for name in LANGUAGES)
    line, said = refused(capsys, tmp_path, exported("openvino"), "--lang", plain, *out)
    assert "openvino, which plain cannot run" in line
    assert "plain runs onnxruntime, onnx: make such a bundle" in said
    assert "`dmformer export WEIGHTS --target onnxruntime`" in said
    assert "no such directory" in refused(capsys, tmp_path, tmp_path / "nowhere", "--lang", plain, *out)[0]
    (copied / "model.onnx").write_bytes(b"damaged")
    assert "model.onnx: differs" in refused(capsys, tmp_path, copied, "--lang", plain, *out)[0]


def test_what_exists_is_not_harmed(plain: str, exported: Exported, tmp_path: Path, capsys: Capture) -> None:
    bundle = exported("onnxruntime")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("x")
    for name in ("thesis", "file"):
        for force in ([], ["--force"]):
            refused(capsys, tmp_path, bundle, "--lang", plain, "-o", tmp_path / name, *force)
    embed(Bundle.load(bundle), plain, tmp_path / "project")
    assert invoke(capsys, "embed", bundle, "--lang", plain, "-o", tmp_path / "project")[0] == 0, "the same once more"
    (tmp_path / "project" / "src" / "main.plain").write_text("changed")
    assert "exists already" in refused(capsys, tmp_path, bundle, "--lang", plain, "-o", tmp_path / "project")[0]
    assert invoke(capsys, "embed", bundle, "--lang", plain, "-o", tmp_path / "project", "--force")[0] == 0
    assert (tmp_path / "project" / "src" / "main.plain").read_text() == "main"


def test_damaged_golden_samples_leave_nothing(plain: str, copied: Path, tmp_path: Path) -> None:
    loaded = Bundle.load(copied)
    (copied / "golden.npz").write_bytes(b"PK damaged")
    with pytest.raises(BundleError, match=r"golden\.npz"):
        embed(loaded, plain, tmp_path / "out" / "project")
    assert not (tmp_path / "out").exists()


def test_names_from_the_manifest_are_no_markdown(plain: str, copied: Path, tmp_path: Path) -> None:
    named = with_fields(Bundle.load(copied), name="<script>x</script>\n```")
    readme = (embed(named, plain, tmp_path / "p").path / "README.md").read_text()
    assert "<script>" not in readme
    assert readme.count("```") == 2


def test_an_unknown_language_is_refused_by_the_library_too(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no language"):
        embed(Bundle.load(exported("onnxruntime")), "cobol", tmp_path / "p")


def test_templates_of_no_language_are_none() -> None:
    assert template_files("cobol") == {}


ABLE = [("python", "onnxruntime"), ("cpp", "onnxruntime"), ("web", "onnxruntime"), ("python", "openvino")]


def no_engine(manifest: dict[str, Any]) -> None:
    for entry in manifest["files"].values():
        entry["role"] = entry["role"].replace("engine", "graph")


UNFIT: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no engine": (no_engine, "it has no engine"),
    "half floats": (lambda m: m["input"].update(dtype="float16"), "takes float16"),
    "half floats out": (lambda m: m["output"].update(dtype="float16"), "gives float16"),
    "a batch of 2^24": (lambda m: m["input"]["shape"].__setitem__(0, 1 << 24), ""),
    "a batch of 400,000": (lambda m: m["input"]["shape"].__setitem__(0, 400_000), ""),
}


@pytest.mark.parametrize("case", UNFIT)
@pytest.mark.parametrize(("language", "target"), ABLE)
def test_a_bundle_that_a_project_could_not_run_is_refused(
    exported: Exported, tmp_path: Path, capsys: Capture, language: str, target: str, case: str
) -> None:
    change, words = UNFIT[case]
    bundle = Path(shutil.copytree(exported(target), tmp_path / "bundle"))
    edit_manifest(bundle, change)
    assert words in refused(capsys, tmp_path, bundle, "--lang", language, "-o", tmp_path / "project")[0]


@pytest.mark.parametrize("hint", ["f32", "bf16", None])
def test_the_options_of_a_manifest_are_passed_on(exported: Exported, hint: str | None) -> None:
    bundle = Bundle.load(exported("openvino"))
    options = {PRECISION_HINT: hint} if hint else {}
    runtime = bundle.manifest.runtime.model_copy(update={"options": options})
    changed = with_fields(bundle, runtime=runtime)
    assert f"\nOPTIONS = {options!a}\n" in python.parameters(changed)
    pairs = "".join(f'{{"{name}", "{value}"}}' for name, value in options.items())
    assert f"options() {{ return {{{pairs}}}; }}" in cpp.parameters(changed, "p")


@pytest.mark.parametrize(("isa", "needed"), [(("avx2", "avx512-vnni"), True), (("avx2",), False)])
def test_an_int8_engine_names_the_instructions_that_it_needs(
    exported: Exported, isa: tuple[str, ...], needed: bool
) -> None:
    bundle = Bundle.load(exported("openvino"))
    record = bundle.manifest.precision.model_copy(update={"requested": "int8"})
    made = with_fields(bundle, precision=record, host=bundle.manifest.host.model_copy(update={"cpu_isa": isa}))
    assert ('"avx512_vnni", "avx_vnni"' in cpp.parameters(made, "p")) == needed
    assert ("'avx512_vnni'," in python.parameters(made)) == needed
    assert "cpu_flags() { return {}; }" in cpp.parameters(bundle, "p")
