"""The commands of docs/benchmarking.md, as they stand there, on a small bundle and short."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import Exported
from tests.support import ROOT, invoke

BRIEF = ("--duration", "0.05", "--launches", "1", "--warmup", "0", "--threads", "1", "--no-layers")
COMMANDS = re.findall(r"^\$ dmformer (.*?)(?:\s+#.*)?$", (ROOT / "docs" / "benchmarking.md").read_text(), re.MULTILINE)


def test_every_command_runs(exported: Exported, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = exported("onnxruntime")
    assert {command.split()[0] for command in COMMANDS} == {"bench", "compare", "report"}
    # The release that the page compares with.
    assert invoke(capsys, "bench", bundle, *BRIEF, "--against", "none", "-o", "release.json")[0] == 0
    for command in COMMANDS:
        words = [str(bundle) if word in ("build/*", "BUNDLE") else word for word in shlex.split(command)]
        if words[0] == "bench":
            words += BRIEF
        code, _, stderr = invoke(capsys, *words)
        # Two runs as short as these may well differ: that is compare's answer, not a failure of the command.
        assert code in ((0, 1) if words[0] == "compare" else (0,)), (command, stderr)
    assert {"bench.json", "today.json", "report.html"} <= {path.name for path in Path.cwd().iterdir()}


def test_the_page_names_every_scenario_and_boundary(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "benchmarking.md").read_text()
    _, stdout, stderr = invoke(capsys, "bench", "--help")
    known = set(re.findall(r"--[a-z]+(?:-[a-z]+)*", stdout + stderr))
    named = set(re.findall(r"`(--[a-z-]+)", text)) - {"--tolerance", "--max-drop", "--dynamic", "--reference"}
    assert named - {"--json"} <= known, named - known
