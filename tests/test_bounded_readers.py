"""Readers of small files refuse what is no regular file at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dmformer.bundle import read_manifest
from dmformer.errors import DmformerError
from dmformer.runtimes.tensorrt.layers import read_description
from dmformer.runtimes.tensorrt.plan import read_plan
from dmformer.staging import BUNDLE
from tests.support import invoke, one_line


@pytest.mark.parametrize(
    "read", [lambda path: read_manifest(path.parent), read_description, read_plan], ids=["manifest", "layers", "plan"]
)
def test_a_fifo_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    os.mkfifo(path)
    with pytest.raises(DmformerError):
        read(path)
    assert not BUNDLE.marks(tmp_path)


@pytest.mark.parametrize("kind", ["a FIFO", "a device", "missing", "of another kind"])
@pytest.mark.parametrize("command", [["inspect"], ["export", "--int8", "--plan"], ["export", "--int8", "--ranges"]])
def test_no_command_waits_or_works_for_a_file_that_is_none(
    command: list[str], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "given.onnx"
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")  # which is only read
    elif kind == "of another kind":
        path.write_text("{}")
    code, out, err = invoke(capsys, *command, path)
    assert (code, out) == (2, "")
    assert str(path) in one_line(err)
    assert "verifying on" not in err


@pytest.mark.parametrize("option", [("--plan", "p.json"), ("--ranges", "r.json"), ("--cpu-isa", "avx2")])
@pytest.mark.parametrize("precision", ["--fp32", "--half"])
def test_what_belongs_to_int8_is_not_left_aside_without_a_word(
    option: tuple[str, str], precision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = invoke(capsys, "export", precision, *option)
    assert (code, out) == (2, "")
    assert option[0] in one_line(err)
