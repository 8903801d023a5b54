"""Core ML as a target: whole bundles, what verification catches, and what is no package."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dmformer.bundle import Bundle
from dmformer.errors import DmformerError, EngineError, MissingBackendError, UsageError
from dmformer.graph.coreml.plan import deployment_target, make_plan
from dmformer.pipeline.export import check_options
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.settling import choose_precision
from dmformer.prediction.classifier import Classifier
from dmformer.runtimes.base import SessionOptions
from dmformer.runtimes.coreml.session import package_of
from dmformer.runtimes.mlprogram.blob import Blob
from dmformer.runtimes.mlprogram.evaluator import Evaluator
from dmformer.runtimes.mlprogram.messages import Type
from dmformer.runtimes.mlprogram.operators import OPERATORS
from dmformer.runtimes.mlprogram.package import read_package
from dmformer.runtimes.protobuf import field
from dmformer.runtimes.registry import get_runtime, open_bundle
from tests.coreml.conftest import SPECIFICATION, WEIGHTS, Bundled
from tests.support import engine_of, invoke, one_line, random_batch, random_images


class TestBundle:
    def test_every_file_of_the_package_is_listed(self, bundled: Bundled) -> None:
        bundle = Bundle.load(bundled("fp16"))
        roles = {name: entry.role for name, entry in bundle.manifest.files.items()}
        assert roles.pop("golden.npz") == "golden"
        assert roles == {"model.mlpackage/Manifest.json": "package", SPECIFICATION: "engine", WEIGHTS: "weights"}
        found = {path.relative_to(bundle.path).as_posix() for path in package_of(bundle).rglob("*") if path.is_file()}
        assert found == set(roles)
        assert bundle.manifest.precision.executes == "float16"
        assert bundle.manifest.runtime.options == {
            "input": "image",
            "deployment_target": "iOS15",
            "compute_units": "all",
        }

    def test_the_package_describes_itself(self, bundled: Bundled) -> None:
        bundle = Bundle.load(bundled("fp16"))
        metadata = read_package(package_of(bundle)).model.metadata
        assert json.loads(metadata["dmformer.preprocessing"]) == bundle.manifest.preprocessing.model_dump(mode="json")
        assert metadata["dmformer.source_sha256"] == bundle.manifest.source.sha256
        assert not any("date" in name for name in metadata)

    def test_the_session_says_what_it_is(self, bundled: Bundled) -> None:
        with open_bundle(str(bundled("fp16"))) as session:
            assert session.execution.provider == "evaluator"
            with pytest.raises(UsageError, match="pictures of 8 bits"):
                session.run(random_batch(1))
        with pytest.raises(UsageError, match="'npu'"):
            open_bundle(str(bundled("fp16")), SessionOptions(device="npu"))

    def test_it_predicts(self, bundled: Bundled) -> None:
        with Classifier(bundled("fp16")) as classifier:
            guesses = classifier.predict(random_images(2), top_k=3)
        assert [len(row) for row in guesses] == [3, 3]
        assert guesses[0][0].label.startswith("class ")

    def test_an_open_batch_takes_several_sizes(self, bundled: Bundled) -> None:
        bundle = Bundle.load(bundled("fp32", dynamic=True))
        assert bundle.manifest.input.shape[0] is None
        assert bundle.manifest.runtime.options["input"] == "tensor"
        with open_bundle(bundle) as session:
            assert session.run(random_batch(5))["logits"].shape == (5, 10)
            with pytest.raises(UsageError, match="Nx3x32x32"):
                session.run(random_batch(0))

    def test_w8a8_carries_ranges_and_says_so(self, bundled: Bundled) -> None:
        bundle = Bundle.load(bundled("int8", classifier=True))
        assert bundle.path.name.endswith("coreml-w8a8")
        assert bundle.manifest.precision.executes == "int8 with float16"
        assert bundle.manifest.runtime.options["int8"] == "w8a8"
        assert bundle.manifest.runtime.options["deployment_target"] == "iOS17"
        groups = bundle.manifest.precision.groups
        assert {groups[name] for name in groups if name.endswith("gate")} == {"float"}
        assert groups["stages.0.0.ffn"] == "int8"

    def test_inspect_shows_the_neural_engine_s_hints(
        self, bundled: Bundled, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, _, err = invoke(capsys, "inspect", bundled("fp16"))
        assert code == 0
        assert "nothing was measured" in " ".join(err.split())
        assert "dilation 3" in err


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def beyond(path: Path) -> None:
    """Moves the data of the first tensor behind the end of the file."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<Q", data, 80, len(data))
    path.write_bytes(data)


def old_model(path: Path) -> None:
    path.write_bytes(field(1, 4) + field(500, b""))


DAMAGE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "truncated specification": (SPECIFICATION, cut, "cannot be read"),
    "empty specification": (SPECIFICATION, lambda path: path.write_bytes(b""), "holds no model"),
    "no protobuf": (SPECIFICATION, lambda path: path.write_bytes(b"no engine"), "cannot load it"),
    "NeuralNetwork": (SPECIFICATION, old_model, "it is a NeuralNetwork, not an ML Program"),
    "truncated weights": (WEIGHTS, cut, "ends at"),
    "no weights": (WEIGHTS, Path.unlink, "the weight file weight.bin is missing"),
    "offset beyond the end": (WEIGHTS, beyond, "within the tensor at offset"),
    "weights of another kind": (WEIGHTS, lambda path: path.write_bytes(b"\1" * 128), "of version"),
    "no manifest": ("model.mlpackage/Manifest.json", Path.unlink, "Manifest.json is missing"),
    "manifest that is none": (
        "model.mlpackage/Manifest.json",
        lambda path: path.write_text("[]"),
        "no manifest",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_no_package_is_refused_in_one_line(half: Bundle, name: str) -> None:
    place, damage, message = DAMAGE[name]
    damage(half.path / place)
    with pytest.raises(EngineError, match=message) as caught:
        get_runtime("coreml").open(half, SessionOptions())
    assert "\n" not in caught.value.message
    assert "cannot load it" in caught.value.message
    assert caught.value.hint


def test_an_unknown_operator_is_named(half: Bundle) -> None:
    path = half.path / SPECIFICATION
    path.write_bytes(path.read_bytes().replace(b"\x0a\x04gelu", b"\x0a\x04silu"))
    with pytest.raises(EngineError, match=r"does not know these operators: silu \(4\)"):
        get_runtime("coreml").open(half, SessionOptions())


@pytest.mark.parametrize(("side", "classes"), [(64, 10), (32, 7)])
def test_the_package_of_another_network_is_refused(half: Bundle, side: int, classes: int) -> None:
    manifest = half.manifest
    given = manifest.input.model_copy(update={"shape": (1, 3, side, side)})
    wanted = manifest.output.model_copy(update={"shape": (1, classes)})
    other = replace(half, manifest=manifest.model_copy(update={"input": given, "output": wanted}))
    with pytest.raises(EngineError, match="the package of another network"):
        get_runtime("coreml").open(other, SessionOptions())


def test_every_byte_of_a_specification_may_be_wrong(half: Bundle) -> None:
    """Whatever is read from a damaged file: an answer or one line, never a traceback."""
    path = half.path / SPECIFICATION
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    for _ in range(40):
        data = bytearray(whole)
        for place in generator.integers(0, len(data), 3):
            data[place] = generator.integers(0, 256)
        path.write_bytes(data)
        try:
            with get_runtime("coreml").open(half, SessionOptions()) as session:
                session.run(half.golden().tensors[:1])
        except DmformerError as error:
            assert "\n" not in error.message


class TestPlan:
    def test_the_deployment_target_is_raised_as_needed(self) -> None:
        assert deployment_target(make_plan(), "fp16") == ("iOS15", None)
        assert deployment_target(make_plan(deployment_target="iOS18"), "int8") == ("iOS18", None)
        target, said = deployment_target(make_plan(deployment_target="iOS15"), "int8")
        assert target == "iOS17"
        assert "raised from iOS15" in str(said)
        assert deployment_target(make_plan(int8="w8a16"), "int8") == ("iOS16", None)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"deployment_target": "iOS99"}, "deployment-target"),
            ({"compute_units": "tpu"}, "compute-units"),
            ({"batches": (2,), "classifier": True}, "one image at a time"),
            ({"workspace": 2}, "workspace"),
        ],
    )
    def test_what_cannot_be_built(self, given: dict[str, object], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            make_plan(**given)

    def test_only_a_single_image_is_taken_as_an_image(self) -> None:
        assert make_plan().image_input
        assert not make_plan(tensor_input=True).image_input
        assert not make_plan(batches=(1, 2)).image_input

    def test_half_is_the_precision_of_this_target(self) -> None:
        assert choose_precision((), ExportOptions(("coreml",))) == "fp16"
        assert choose_precision((), ExportOptions(("coreml", "onnxruntime"))) == "fp32"

    def test_building_needs_coremltools_and_running_does_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        runtime, absent = get_runtime("coreml"), {"coremltools"}
        monkeypatch.setattr(
            "dmformer.runtimes.coreml.runtime.find_spec", lambda name: None if name in absent else object()
        )
        assert runtime.missing() is None
        absent.add("onnxruntime")
        assert "onnxruntime runs packages off a Mac" in str(runtime.missing())
        with pytest.raises(MissingBackendError) as caught:
            check_options(ExportOptions(targets=("coreml",), precision="fp16"))
        assert "coreml" in str(caught.value.hint)

    def test_options_of_another_target_are_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        code, _, err = invoke(capsys, "export", "--w8a16", "--target", "onnxruntime")
        assert code == 2
        assert "--w8a16 belongs to Core ML packages" in one_line(err)


def test_many_images_are_run_together_and_give_what_each_gives_alone(half: Bundle) -> None:
    tensors = half.golden().tensors
    with get_runtime("coreml").open(half, SessionOptions()) as session:
        assert session.images_at_once == 64
        together = engine_of(half, session).run_tensors(tensors).outputs
        alone = np.concatenate([session.run(tensor[None])["logits"] for tensor in tensors])
    np.testing.assert_allclose(together, alone, atol=5e-3)


def test_a_classifier_s_label_is_not_computed_where_logits_are_wanted(bundled: Bundled) -> None:
    package = read_package(package_of(Bundle.load(bundled("int8", classifier=True))))
    whole, part = Evaluator(package), Evaluator(package, ("logits",))
    assert set(whole.outputs) == {"logits", "classLabel", "classLabel_probs"}
    pictures = np.zeros((2, 3, 32, 32), np.float32)
    results = part.run({"image": pictures})
    assert results.keys() == {"logits"}
    assert np.array_equal(results["logits"][:1], whole.run({"image": pictures[:1]})["logits"])


def test_an_offset_beyond_the_end_is_named(half: Bundle) -> None:
    """Of a reference in the specification; one inside the weight file is among the damages above."""
    blob = Blob(half.path / WEIGHTS)
    size = (half.path / WEIGHTS).stat().st_size
    for offset in (-(-size // 64) * 64, 1 << 62, 65):
        with pytest.raises(ValueError, match=f"has no tensor at offset {offset}: it ends at {size}"):
            blob.read(offset, Type("float16", (1,)))
    blob.close()


def test_every_operator_of_a_package_is_translated(bundled: Bundled) -> None:
    packages = [bundled("fp32"), bundled("fp32", dynamic=True), bundled("fp16"), bundled("int8", classifier=True)]
    programs = [read_package(package_of(Bundle.load(path))).model.program for path in packages]
    kinds = {op.kind for program in programs for op in program.operations} - {"const"}
    assert kinds <= OPERATORS.keys()
