"""Without the demonstration's data, whatever would need them says in one line what to give in their place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dmformer import assets
from dmformer.pipeline.sources import demonstration_of
from tests.conftest import Exported
from tests.support import Command, invoke, one_line


@pytest.fixture
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dmformer_demo", None)


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize(
    ("line", "missing", "instead"),
    [
        (["export"], "no weights were given", "give your own weights"),
        (["calibrate"], "no weights were given", "give your own weights"),
        (["inspect"], "no weights were given", "give your own weights"),
        (["export", "WEIGHTS"], "no images were given", "give your own with --data"),
    ],
    ids=" ".join,
)
def test_what_needs_it_says_so(
    line: list[str], missing: str, instead: str, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = invoke(capsys, *(str(weights) if word == "WEIGHTS" else word for word in line))
    assert code == 2
    assert missing in one_line(err)
    assert f"how to mend it: {instead}, or pip install 'dmformer[demo]'" in err
    assert not list(Path.cwd().iterdir())


def test_what_does_not_need_it_works(
    exported: Exported, weights: Path, labelled: Path, tmp_path: Path, request: pytest.FixtureRequest, command: Command
) -> None:
    bundle = exported("onnxruntime")
    request.getfixturevalue("_bare")
    assert not assets.installed()
    assert demonstration_of("0" * 64) is None
    command("verify", bundle)
    command("inspect", weights)
    command("export", weights, "--data", labelled, "--target", "onnx", "--output", tmp_path)
