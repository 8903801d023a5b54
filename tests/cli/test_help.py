"""Help in a terminal of 80 columns names every option whole; what people try first is taken, or answered."""

from __future__ import annotations

import re

import pytest

from dmformer.cli.app import COMMANDS
from dmformer.cli.declare import checked
from dmformer.errors import UsageError
from dmformer.options import leaves, values
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.requests import BenchOptions
from tests.support import invoke, options_of

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_every_option_is_whole_in_80_columns(command: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = invoke(capsys, *command.split(), "--help")
    assert code == 0 and max(map(len, out.splitlines())) <= 80
    listed = {name for line in out.splitlines() for name in re.findall(r"[a-z0-9-]+", line)}
    assert options_of()[command] <= listed, options_of()[command] - listed
    assert "…" not in out


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("target", ["onnx,openvino"], ("onnx", "openvino")),
        ("target", ["onnx", "openvino, coreml"], ("onnx", "openvino", "coreml")),
        ("imgsz", ["64,96"], (64, 96)),
        ("imgsz", ["64"], (64, 64)),
        ("dilation", ["1,2", "3"], (1, 2, 3)),
        ("compute-capability", ["8.6,8.9"], ("8.6", "8.9")),
    ],
)
def test_lists_are_taken_with_commas_and_again(name: str, typed: list[str], value: object) -> None:
    leaf = next(leaf for leaf in leaves(ExportOptions) if leaf.name == name)
    assert values({leaf: checked(leaf, typed)}) == {leaf.place: value}


def test_the_bounds_of_a_list_are_those_of_each() -> None:
    leaf = next(leaf for leaf in leaves(BenchOptions) if leaf.name == "batch")
    assert checked(leaf, ["1,8"]) == [1, 8]
    with pytest.raises(UsageError, match=r"--batch cannot be 0 \(1 or more\)"):
        checked(leaf, ["1,0"])


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("export", "--weights"),
        ("calibrate", "--weights"),
        ("predict", "--bundle"),
        ("bench", "--bundle"),
        ("verify", "--bundle"),
    ],
)
def test_the_name_of_an_argument_is_told_to_be_left_out(command: str, option: str, capsys: Capture) -> None:
    for given in ((option, "x"), (f"{option}=x",)):
        code, _, err = invoke(capsys, command, *given)
        assert code == 2
        assert f"No such option: {option}: leave it out and give its value alone" in re.sub(r"[│\s]+", " ", err)
    assert "leave it out" not in invoke(capsys, command, "--nonsense")[2]
