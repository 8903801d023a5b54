"""Engines that are not their manifest's: refused when they are opened, in one line that names the file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from dmformer.bundle import Bundle, assemble
from dmformer.errors import EngineError
from dmformer.runtimes.base import Array, Execution, Session
from dmformer.runtimes.inspection.registry import inspector_for
from dmformer.runtimes.interface import ENDLESS, InterfaceError, check_operators
from dmformer.runtimes.registry import open_bundle
from tests.support import edit_manifest, engine_of, invoke, random_batch

Exported = Callable[..., Path]
IMAGE = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])
LOGITS = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 10])


def set_batch(manifest: dict[str, Any]) -> None:
    for side in ("input", "output"):
        manifest[side]["shape"][0] = 2


def set_size(manifest: dict[str, Any]) -> None:
    manifest["preprocessing"] |= {"size": [64, 64], "resize_to": None}
    manifest["input"]["shape"][2:] = [64, 64]


MANIFESTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "output name": lambda manifest: manifest["output"].update(name="nope"),
    "input name": lambda manifest: manifest["input"].update(name="nope"),
    "a batch of two": set_batch,
    "an open batch": lambda manifest: manifest["input"]["shape"].__setitem__(0, None),
    "another size": set_size,
    "pixels": lambda manifest: manifest["input"].update(dtype="uint8", layout="NHWC", shape=[1, 32, 32, 3]),
}


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_does_not_fit_its_engine_is_refused(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str, name: str
) -> None:
    shutil.copytree(exported(target), tmp_path / "bundle")
    edit_manifest(tmp_path / "bundle", MANIFESTS[name])
    with pytest.raises(EngineError, match=r"cannot load it \(its (input|output) is .*, the manifest says"):
        open_bundle(str(tmp_path / "bundle"))
    code, stdout, _ = invoke(capsys, "verify", tmp_path / "bundle")
    assert (code, stdout) == (2, "")


def value(name: str, kind: int, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def graph_of(
    nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto], **more: Any
) -> bytes:
    graph = helper.make_graph(nodes, "other", inputs, outputs, **more)
    opset = [helper.make_opsetid("", 17)]
    serialized: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return serialized


def mean(kind: str = "logits") -> list[onnx.NodeProto]:
    """The image's first row, cut to ten values."""
    return [
        helper.make_node("Flatten", ["image"], ["flat"], axis=1),
        helper.make_node("Slice", ["flat", "start", "end", "axis"], [kind]),
    ]


def numbers() -> list[onnx.TensorProto]:
    return [
        helper.make_tensor(name, TensorProto.INT64, [1], [at]) for name, at in (("start", 0), ("end", 10), ("axis", 1))
    ]


def endless() -> bytes:
    """Loops 2^62 times."""
    body = helper.make_graph(
        [helper.make_node("Identity", [a], [b]) for a, b in (("go", "on"), ("x", "y"))],
        "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("x", TensorProto.FLOAT, [1, 10])],
        [value("on", TensorProto.BOOL, []), value("y", TensorProto.FLOAT, [1, 10])],
    )
    constants = [
        *numbers(),
        helper.make_tensor("count", TensorProto.INT64, [], [1 << 62]),
        helper.make_tensor("true", TensorProto.BOOL, [], [True]),
    ]
    loop = helper.make_node("Loop", ["count", "true", "cut"], ["logits"], body=body)
    return graph_of([*mean("cut"), loop], [IMAGE], [LOGITS], initializer=constants)


ENGINES: dict[str, Callable[[], bytes]] = {
    "two inputs": lambda: graph_of(
        [*mean("cut"), helper.make_node("Add", ["cut", "more"], ["logits"])],
        [IMAGE, value("more", TensorProto.FLOAT, [1, 10])],
        [LOGITS],
        initializer=numbers(),
    ),
    "two outputs": lambda: graph_of(
        mean(), [IMAGE], [LOGITS, value("flat", TensorProto.FLOAT, [1, 3072])], initializer=numbers()
    ),
    "text": lambda: graph_of(
        [*mean("cut"), helper.make_node("Cast", ["cut"], ["logits"], to=TensorProto.STRING)],
        [IMAGE],
        [value("logits", TensorProto.STRING, [1, 10])],
        initializer=numbers(),
    ),
    "a scalar": lambda: graph_of(
        [helper.make_node("ReduceMean", ["image"], ["logits"], keepdims=0)],
        [IMAGE],
        [value("logits", TensorProto.FLOAT, [])],
    ),
    "integers": lambda: graph_of(
        [*mean("cut"), helper.make_node("Cast", ["cut"], ["logits"], to=TensorProto.INT64)],
        [IMAGE],
        [value("logits", TensorProto.INT64, [1, 10])],
        initializer=numbers(),
    ),
    "half precision taken": lambda: graph_of(
        [helper.make_node("Cast", ["half"], ["image"], to=TensorProto.FLOAT), *mean()],
        [value("half", TensorProto.FLOAT16, [1, 3, 32, 32])],
        [LOGITS],
        initializer=numbers(),
    ),
    "an endless loop": endless,
    "no protobuf": lambda: b"\x07 no protobuf",
}


def with_engine(source: Path, folder: Path, engine: bytes) -> Bundle:
    """A bundle around another engine, whose checksums are right."""
    bundle = Bundle.load(source)
    folder.mkdir()
    (folder / "model.onnx").write_bytes(engine)
    return assemble(folder, bundle.manifest, bundle.golden(), {"model.onnx": "engine"})


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_of_another_kind_is_refused_before_it_is_run(exported: Exported, tmp_path: Path, name: str) -> None:
    bundle = with_engine(exported("onnxruntime"), tmp_path / "bundle", ENGINES[name]())
    with pytest.raises(EngineError, match=r"model\.onnx: ONNX Runtime cannot load it \(") as caught:
        open_bundle(bundle)
    assert "\n" not in caught.value.message and len(caught.value.message) < 700
    doors: list[Callable[[], object]] = [
        lambda: inspector_for(bundle).profile(bundle, [], 1),
        lambda: inspector_for(bundle).tap(bundle, ["head"]),
    ]
    for door in doors:
        with pytest.raises(EngineError, match=r"model\.onnx: ONNX Runtime cannot load it \("):
            door()


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_looking_into_an_engine_asks_what_opening_it_asks(exported: Exported, engine: str) -> None:
    """Another output than the engine's own in the manifest."""
    loaded = Bundle.load(exported(engine))
    output = loaded.manifest.output.model_copy(update={"name": "labels"})
    bundle = replace(loaded, manifest=loaded.manifest.model_copy(update={"output": output}))
    doors: list[Callable[[], object]] = [
        lambda: open_bundle(bundle),
        lambda: inspector_for(bundle).profile(bundle, [], 1),
        lambda: inspector_for(bundle).tap(bundle, ["head"]),
    ]
    for door in doors:
        with pytest.raises(EngineError, match="the manifest says 'labels'"):
            door()


@pytest.mark.parametrize("name", sorted(ENDLESS))
def test_operators_that_may_not_end_are_refused_by_name(name: str) -> None:
    with pytest.raises(InterfaceError, match=name):
        check_operators(["Conv", name])
    check_operators(["Conv", "Resize"])


@pytest.mark.parametrize(("first", "error"), [(1 << 40, "cannot run it"), (0, "gives")], ids=["allocation", "no row"])
def test_what_fails_while_running_names_the_engine(exported: Exported, tmp_path: Path, first: int, error: str) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("IsNaN", ["mean"], ["never"]),
        helper.make_node("Cast", ["never"], ["zero"], to=TensorProto.INT64),
        helper.make_node("Add", ["size", "zero"], ["rows"]),
        helper.make_node("ConstantOfShape", ["rows"], ["logits"]),
    ]
    size = helper.make_tensor("size", TensorProto.INT64, [2], [first, 10])
    graph = graph_of(nodes, [IMAGE], [value("logits", TensorProto.FLOAT, ["rows", 10])], initializer=[size])
    bundle = with_engine(exported("onnxruntime"), tmp_path / "bundle", graph)
    with open_bundle(bundle) as session, pytest.raises(EngineError, match=error):
        engine_of(bundle, session).run_tensors(random_batch(1))


class Short(Session):
    """Gives one row, whatever it is asked."""

    execution = Execution("CPU", "float32")

    def run(self, batch: Array, only: str | None = None) -> dict[str, Array]:
        return {"logits": np.zeros((1, 10), np.float32)}

    def close(self) -> None:
        pass


def test_fewer_answers_than_images_are_an_error(exported: Exported) -> None:
    bundle = Bundle.load(exported("onnxruntime", dynamic=True))
    with pytest.raises(EngineError, match=r"gives \(1, 10\) for 3 images"):
        engine_of(bundle, Short()).run_tensors(random_batch(3))
