"""A run that is written down: ``export --config`` with a TOML file, and with a bundle that says what made it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmformer.bundle import Bundle
from dmformer.errors import UsageError
from dmformer.options import filled, leaves, values, written
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.run_file import read_run
from tests.support import edit_manifest, invoke, one_line, random_images, snapshot

Exported = Callable[..., Path]
Capture = pytest.CaptureFixture[str]
OPTIONS = leaves(ExportOptions)


def request_of(path: Path, *typed: str) -> ExportOptions:
    flags = {leaf: True for leaf in OPTIONS if leaf.name in typed}
    return filled(ExportOptions, values(read_run(path, OPTIONS, flags)) | values(flags))


def test_the_names_are_those_of_the_options(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        'weights = "best.pt"\ntarget = ["openvino", "onnx"]\nint8 = true\nhalf = false\nimgsz = 64\n'
        "max_images = 20\nno-cache = true\nplain = false\nmean = [0.5, 0.25, 0.125]\nsizes = '64,32x96'\n"
        "min-sqnr = 20\nworkspace = 2.5\n"
    )
    options = request_of(path)
    assert (options.targets, options.precision, options.size) == (("openvino", "onnx"), "int8", (64, 64))
    assert (options.weights.path, options.max_images) == (Path("best.pt"), 20)
    assert (options.int8.use_cache, options.canonical) == (False, True)
    assert options.preprocessing.mean == (0.5, 0.25, 0.125)
    assert options.coreml.sizes == ((64, 64), (32, 96))
    assert (options.tolerance.min_sqnr, options.build.workspace_gib) == (20, 2.5)
    assert request_of(path, "half").precision == "fp16", "what is typed wins"


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("imgz = 3", "there is no option 'imgz'", "imgsz"),
        ("mni_agreement = 1", "there is no option 'mni_agreement'", "min-agreement"),
        ("json = true", "there is no option 'json'", "closest"),
        ('batch = "x"', "batch: Input should be a valid integer", "Images in a batch"),
        ("batch = 0", "batch: Input should be greater than or equal to 1", "Images in a batch"),
        ("batch = true", "batch: Input should be a valid integer", "Images in a batch"),
        ("batch = 1979-05-27", "batch: Input should be a valid integer", "Images in a batch"),
        ("half = 1", "half: Input should be a valid boolean", "FP16"),
        ("half = true\nfp32 = true", "exclude each other", "give one"),
        ("imgsz = [32, 32, 32]", "--imgsz was given 3 sides", "height and width"),
        ('method = "median"', "there is no method 'median'", "minmax"),
        ('mean = [1, "x"]', "mean: 1: Input should be a valid number", "Per channel"),
        ('target = "tpu"', "there is no target 'tpu'", "openvino"),
        ("calibration = 'photos'", "--calibration does nothing without --int8", "--int8"),
        ("batch = ", "is no TOML", "names"),
        ("\x00", "is no TOML", "names"),
        ("[graph]\nbatch = 2", "there is no option 'graph'", "closest"),
    ],
)
def test_what_cannot_be_is_one_line_that_names_file_and_key(
    text: str, words: str, hint: str, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "run.toml").write_text(text)
    before = snapshot(tmp_path)
    code, out, err = invoke(capsys, "export", "--config", tmp_path / "run.toml", "-o", tmp_path / "out")
    assert (code, out) == (2, "") and words in one_line(err)
    assert hint in err.partition("how to mend it: ")[2]
    assert str(tmp_path / "run.toml") in err or words.startswith(("--calibration", "there is no target"))
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("path", ["nowhere.toml", "/dev/zero", "large.toml"])
def test_a_file_that_cannot_be_read(path: str, capsys: Capture) -> None:
    Path("large.toml").write_bytes(b"#" * (2 << 20))
    code, _, err = invoke(capsys, "export", "--config", path)
    assert code == 2 and f"{path}: " in one_line(err)


TEXTS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9))
JSON = st.recursive(TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([name for leaf in OPTIONS for name in leaf.option.names]), JSON, max_size=4))
def test_whatever_a_manifest_says_is_taken_or_refused(said: dict[str, Any]) -> None:
    from dmformer.run_file import given_by

    try:
        given_options = given_by(Path("bundle"), said, OPTIONS)
    except UsageError as error:
        assert error.message.startswith("bundle: ")
    else:
        assert isinstance(filled(ExportOptions, values(given_options)), ExportOptions)


def test_a_bundle_makes_itself_again(weights: Path, tmp_path: Path, capsys: Capture) -> None:
    shutil.copy(weights, "mini.safetensors")
    np.savez("data.npz", images=random_images(6), labels=np.arange(6))
    arguments = ("-t", "openvino", "-t", "onnx", "--half", "--data", "data.npz", "--imgsz", "64", "--min-sqnr", "5")
    assert invoke(capsys, "export", "mini.safetensors", *arguments, "-o", "first")[0] == 0
    for name in ("mini-openvino-fp16", "mini-onnx-fp16"):
        code, _, err = invoke(capsys, "export", "--config", f"first/{name}", "-o", "again")
        assert code == 0, err
        assert snapshot(Path("again") / name) == snapshot(Path("first") / name)
    options = Bundle.load("again/mini-onnx-fp16").manifest.options
    assert options == {
        "target": ["onnx"], "half": True, "weights": "mini.safetensors", "data": "data.npz", "imgsz": [64, 64],
        "min-sqnr": 5.0,
    }  # fmt: skip
    code, out, err = invoke(
        capsys, "export", "--config", "again/mini-onnx-fp16", "--fp32", "--min-sqnr", "60", "-o", "third", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["bundles"][0]["precision"] == "fp32", "what is typed wins"


def test_a_bundle_whose_weights_are_others_now(exported: Exported, weights: Path, capsys: Capture) -> None:
    bundle = exported("onnxruntime")
    code, _, err = invoke(capsys, "export", "--config", bundle)
    assert code == 2 and "mini.safetensors: the weights" in one_line(err) and "are not here" in one_line(err)
    Path("mini.safetensors").write_bytes(b"others")
    code, _, err = invoke(capsys, "export", "--config", bundle)
    assert code == 2 and "mini.safetensors: is not what" in one_line(err)
    code, _, err = invoke(capsys, "export", weights, "--config", bundle)
    assert code == 0, err


def test_a_checkpoint_in_memory_leaves_no_options(copied: Path, tmp_path: Path, capsys: Capture) -> None:
    edit_manifest(copied, lambda manifest: manifest.update(options=None))
    code, _, err = invoke(capsys, "export", "--config", copied)
    assert code == 2 and "does not say which options made it" in one_line(err)


@pytest.mark.parametrize("key", ["output", "force", "timing-cache", "timing_cache"])
def test_a_bundle_does_not_say_where_things_go(copied: Path, capsys: Capture, key: str) -> None:
    edit_manifest(copied, lambda manifest: manifest["options"].update({key: True}))
    code, _, err = invoke(capsys, "export", "--config", copied)
    assert code == 2 and f"names {key.replace('_', '-')}, which no export writes down" in one_line(err)


def test_only_what_has_a_name_is_recorded(checkpoint: Any, weights: Path, tmp_path: Path) -> None:
    options = ExportOptions(golden_images=2, output=tmp_path, batch=2)
    assert export_bundles(checkpoint, options)[0].bundle.manifest.options is None
    made_again = export_bundles(weights, ExportOptions(golden_images=2, output=tmp_path, batch=2, force=True))[0]
    assert made_again.bundle.manifest.options == {
        "target": ["onnxruntime"], "fp32": True, "batch": 2, "weights": weights.name
    }  # fmt: skip
    assert "output" not in written(options, {"output"})
