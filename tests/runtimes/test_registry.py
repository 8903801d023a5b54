"""Runtimes by name: nothing is imported before it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmformer.errors import UsageError
from dmformer.runtimes.base import Runtime, check_batch
from dmformer.runtimes.registry import get_runtime
from dmformer.targets import TARGETS
from tests.support import random_batch, run


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_has_a_runtime_of_its_name(name: str) -> None:
    runtime = get_runtime(name)
    assert runtime.target.name == name
    assert isinstance(runtime, Runtime)


def test_a_target_that_is_none_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match="no target 'tpu'") as caught:
        get_runtime("tpu")
    assert all(name in str(caught.value.hint) for name in TARGETS)


def test_asking_what_is_missing_loads_no_runtime() -> None:
    code = """
import sys
from dmformer.runtimes.registry import get_runtime
from dmformer.targets import TARGETS
said = {name: get_runtime(name).missing() for name in TARGETS}
assert said["onnx"] is said["onnxruntime"] is said["openvino"] is None
assert all("pip install" in reason for reason in said.values() if reason)
sys.exit(str(loaded) if (loaded := {"onnxruntime", "openvino", "torch", "onnx"} & set(sys.modules)) else 0)
"""
    done = run(code=code)
    assert done.returncode == 0, done.stderr


PRELOADED = {
    "onnx": "onnxruntime",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "ncnn": "ncnn",
    "tensorrt": "tensorrt",
    "tensorrt-rtx": "tensorrt_rtx",
    "coreml": "coremltools",
}


@pytest.mark.parametrize("name", TARGETS)
def test_what_opening_would_import_can_be_imported_before_it(name: str, tmp_path: Path) -> None:
    """Else the import counts as time to compile. Libraries that are not here are stand-ins of the same name."""
    for stand_in in ("tensorrt", "tensorrt_rtx", "coremltools", "cuda/bindings/runtime"):
        (tmp_path / stand_in).mkdir(parents=True)
        (tmp_path / stand_in / "__init__.py").write_text("__version__ = '11.4'\n")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from dmformer.runtimes.registry import get_runtime
runtime = get_runtime({name!r})
assert {PRELOADED[name]!r} not in sys.modules
sys.platform = "darwin" if {name!r} == "coreml" else sys.platform
runtime.preload()
assert {PRELOADED[name]!r} in sys.modules
assert "tensorrt" not in {name!r} or "cuda.bindings.runtime" in sys.modules
"""
    done = run(code=code)
    assert done.returncode == 0, done.stderr


def test_a_batch_is_checked_against_fixed_and_dynamic_shapes() -> None:
    check_batch(random_batch(2), (2, 3, 32, 32))
    check_batch(random_batch(7), (None, 3, 32, 32))
    for shape in ((1, 3, 32, 32), (None, 1, 32, 32), (2, 3, 32)):
        with pytest.raises(UsageError, match="the engine takes float32"):
            check_batch(random_batch(2), shape)
