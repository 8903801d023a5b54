"""ncnn: its engines in bundles, in all precisions, damaged, and on a device without what made them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmformer.bundle import Bundle, assemble
from dmformer.errors import EngineError, UsageError
from dmformer.pipeline import trial
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions, Int8Options
from dmformer.progress import Silent
from dmformer.runtimes.base import Session
from dmformer.runtimes.inspection.ncnn import NcnnInspector
from dmformer.runtimes.ncnn.runtime import NcnnSession
from dmformer.runtimes.registry import open_bundle
from tests.conftest import Exported, Segmented
from tests.runtimes.contract import RuntimeContract, sqnr
from tests.support import LOOSE, edit_manifest, invoke, one_line, outputs, random_batch, random_images, run


class TestNcnn(RuntimeContract):
    target = "ncnn"
    provider = "CPU"
    half_db = 60.0

    def threads_of(self, session: Session) -> int:
        assert isinstance(session, NcnnSession)
        return int(session._net.opt.num_threads)


@pytest.fixture(scope="module")
def int8(weights: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    chosen = Int8Options(calibration=labelled, images=12, use_cache=False)
    folder = tmp_path_factory.mktemp("int8")
    options = ExportOptions(("ncnn",), precision="int8", int8=chosen, tolerance=LOOSE, golden_images=4, output=folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "ROUNDS", 1)
        patch.setattr(trial, "SLICE_S", 0.001)
        (outcome,) = export_bundles(weights, options, Silent())
    assert outcome.verdict is not None and outcome.verdict.int8_ms > 0, "timed in ncnn"
    return outcome.bundle.path


def test_integers_are_told_as_the_layers_tell_them(int8: Path, exported: Exported) -> None:
    bundle = Bundle.load(int8)
    groups = bundle.manifest.precision.groups
    assert (groups["stages.0.0.dma.expand"], groups["stages.0.0.dma.levels.1"]) == ("int8", "float")
    layers = NcnnInspector().profile(bundle, [random_batch(1)] * 3, threads=1)
    told = {layer.name: layer.precision for layer in layers}
    assert told["stages.0.0.dma.expand"] == told["head"] == "int8"
    assert told["stages.0.0.dma.levels.1"] == told["stages.0.0.ffn.gelu"] == "float32"
    integers = sum(layer.precision == "int8" for layer in layers)
    with open_bundle(bundle) as session:
        assert session.execution.precision.startswith(f"float32 (int8: {integers} of ")
        assert session.execution.precision == bundle.manifest.precision.executes
    full = exported("ncnn")
    sizes = [(path / "model.bin").stat().st_size for path in (int8, full)]
    assert sizes[0] < 0.75 * sizes[1], "half of them are in the depthwise levels and the stem, or biases"
    right = outputs(full, random_batch(1))
    assert sqnr(right, outputs(int8, random_batch(1))) > 20


def test_one_pass_gives_all_outputs_in_any_order(segmented: Segmented) -> None:
    """One extractor gives several blobs: those that no layer reads are kept."""
    path = segmented("ncnn", argmax=True)
    batch = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)
    with open_bundle(str(path)) as session:
        both = session.run(batch)
        for name in both:
            assert np.array_equal(session.run(batch, name)[name], both[name])


def other(exported: Exported, folder: Path, name: str, content: bytes) -> Bundle:
    """A bundle with another file in it, whose checksums are right."""
    bundle = Bundle.load(exported("ncnn"))
    shutil.copytree(bundle.path, folder)
    (folder / name).write_bytes(content)
    roles = {name: entry.role for name, entry in bundle.manifest.files.items() if entry.role != "golden"}
    return assemble(folder, bundle.manifest, bundle.golden(), roles)


@pytest.mark.parametrize("name", ["model.param", "model.bin"])
@pytest.mark.parametrize("kind", ["another network's", "cut", "empty", "bytes"])
def test_files_that_do_not_fit_each_other_are_refused_in_one_line(
    exported: Exported, int8: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    content = (exported("ncnn") / name).read_bytes()
    wrong = {"cut": content[: len(content) // 3], "empty": b"", "bytes": b"\xff\0" * 40}
    wrong["another network's"] = (int8 / name).read_bytes()
    bundle = other(exported, tmp_path / "bundle", name, wrong[kind])
    with pytest.raises(EngineError, match=r"model\.param: cannot load it \("):
        open_bundle(bundle)
    code, out, err = invoke(capsys, "verify", bundle.path)
    assert (code, out) == (2, "") and "cannot load it" in one_line(err)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda manifest: manifest["output"].update(name="nope"), "its output is 'logits', the manifest says 'nope'"),
        (lambda manifest: manifest["input"].update(name="nope"), "its input is 'image', the manifest says 'nope'"),
        (
            lambda manifest: (
                manifest["preprocessing"].update(size=[64, 64], resize_to=None),
                manifest["input"]["shape"].__setitem__(slice(2, 4), [64, 64]),
            ),
            "its input is Nx3x32x32, the manifest says 1x3x64x64",
        ),
        (
            lambda manifest: manifest["input"].update(dtype="uint8", layout="NHWC", shape=[1, 32, 32, 3]),
            "its input is Nx3x32x32, the manifest says",
        ),
    ],
)
def test_a_manifest_that_is_another_network_s_is_refused(
    exported: Exported, tmp_path: Path, change: object, words: str
) -> None:
    shutil.copytree(exported("ncnn"), tmp_path / "bundle")
    edit_manifest(tmp_path / "bundle", change)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="cannot load it") as caught:
        open_bundle(str(tmp_path / "bundle"))
    assert words in str(caught.value)


def test_what_it_is_not_made_of_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    for wrong, words in (({"dynamic_size": True}, "--dynamic-size"), ({"embed_preprocessing": True}, "takes no bytes")):
        with pytest.raises(UsageError, match=words):
            export_bundles(tmp_path / "nowhere.pt", ExportOptions(("ncnn",), output=tmp_path, **wrong))  # type: ignore[arg-type]


HIDING = """
import sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ("torch", "onnx", "onnx_ir", "onnxruntime", "openvino", "pnnx"):
            return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
"""


def test_a_device_needs_ncnn_alone(exported: Exported, tmp_path: Path) -> None:
    """Verified, asked and measured where neither PyTorch nor what made the files is there, nor in any child process."""
    (tmp_path / "sitecustomize.py").write_text(HIDING)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))}
    picture, bundle = tmp_path / "picture.png", exported("ncnn")
    Image.fromarray(random_images(1)[0]).save(picture)
    brief = ("--duration", "0.05", "--launches", "1", "--warmup", "0", "--threads", "1")
    for arguments in (("verify", bundle), ("predict", bundle, picture, "--json"), ("bench", bundle, *brief, "--json")):
        done = run(*arguments, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
    assert run(code="import torch", env=environment).returncode == 1
    (result,) = json.loads(done.stdout)["results"]
    assert (result["target"], result["layers"]["source"]) == ("ncnn", "ncnn's layers, one after the other")
    assert {"DMA levels", "FFN"} <= {part["part"] for part in result["layers"]["parts"]}
