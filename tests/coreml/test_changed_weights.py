"""A changed weight file is caught by ``dmformer verify``, however far the change was covered up."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from dmformer.bundle import Bundle, entry_of, sha256_of
from dmformer.precision import Precision
from dmformer.runtimes.coreml.session import package_of
from dmformer.runtimes.mlprogram.messages import BlobReference, Value
from dmformer.runtimes.mlprogram.package import read_package
from dmformer.staging import MANIFEST_FILE
from tests.coreml.conftest import SPECIFICATION, WEIGHTS, Bundled
from tests.support import invoke, one_line

RECORD = struct.Struct("<IIQQ")
KINDS: dict[str, tuple[Precision, dict[str, object], str, str]] = {
    "fp32": ("fp32", {}, "weight", "<f4"),
    "fp16": ("fp16", {}, "weight", "<f2"),
    "w8a8": ("int8", {"classifier": True}, "scale", "<f2"),
}
"""Precision, options, the parameter that is changed and its dtype: of INT8 the scale of a tensor's codes."""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bundle(kind: str, bundled: Bundled, tmp_path: Path) -> Bundle:
    precision, options, _, _ = KINDS[kind]
    shutil.copytree(bundled(precision, **options), tmp_path / "bundle")
    return Bundle.load(tmp_path / "bundle")


def scale_one(bundle: Bundle, kind: str, factor: float) -> None:
    """Multiplies one constant of the package in the weight file, in place."""
    _, _, parameter, dtype = KINDS[kind]
    path = bundle.path / WEIGHTS
    data = bytearray(path.read_bytes())
    _, _, size, start = RECORD.unpack_from(data, _offset(bundle, parameter))
    values = np.frombuffer(data, dtype, size // np.dtype(dtype).itemsize, start) * factor
    data[start : start + size] = values.astype(dtype).tobytes()
    path.write_bytes(data)


def _offset(bundle: Bundle, parameter: str) -> int:
    """Of the record of the middle one of the constants that are bound to a parameter."""
    program = read_package(package_of(bundle)).model.program
    places = {op.outputs[0][0]: op.inputs["val"][0] for op in program.operations if op.kind == "const"}
    found = []
    for op in program.operations:
        bound = op.inputs.get(parameter, ("",))[0]
        value = bound if isinstance(bound, Value) else places.get(bound)
        if op.kind not in ("quantize", "dequantize") and isinstance(value, Value):
            found += [value.content.offset] if isinstance(value.content, BlobReference) else []
    return found[len(found) // 2]


def reseal_manifest(bundle: Bundle) -> None:
    """Makes the manifest's checksums those of the files as they are now."""
    files = {name: entry_of(bundle.path / name, entry.role) for name, entry in bundle.manifest.files.items()}
    changed = bundle.manifest.model_copy(update={"files": files})
    (bundle.path / MANIFEST_FILE).write_text(changed.to_json())


def reseal_specification(bundle: Bundle, before: str) -> None:
    """Makes the weight file's checksum inside the package that of the file as it is now."""
    path = bundle.path / SPECIFICATION
    data = path.read_bytes()
    assert data.count(before.encode()) == 1
    path.write_bytes(data.replace(before.encode(), sha256_of(bundle.path / WEIGHTS).encode()))


def test_as_it_was_made_it_passes(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(capsys, "verify", bundle.path)[0] == 0


def test_the_manifest_s_checksum_tells(bundle: Bundle, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    scale_one(bundle, kind, 1.01)
    code, _, err = invoke(capsys, "verify", bundle.path)
    assert code == 2
    assert "weight.bin: differs from what was exported" in one_line(err)


def test_the_package_s_own_checksum_tells(bundle: Bundle, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    scale_one(bundle, kind, 1.01)
    reseal_manifest(bundle)
    code, _, err = invoke(capsys, "verify", bundle.path)
    assert code == 2
    assert "weight.bin was changed: the specification names another SHA-256" in one_line(err)


def test_the_answers_tell(bundle: Bundle, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sha256_of(bundle.path / WEIGHTS)
    # By enough to be seen in a network whose weights are random.
    scale_one(bundle, kind, 4.0)
    reseal_specification(bundle, before)
    reseal_manifest(bundle)
    code, _, err = invoke(capsys, "verify", bundle.path)
    assert code == 1
    assert "this is not the engine that was exported" in " ".join(err.split())
