"""The table of targets: every row says everything, and no other place says what a target is."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.core import TyperGroup

from dmformer.cli.app import app
from dmformer.errors import UsageError
from dmformer.pipeline.maker import Maker, get_maker
from dmformer.pipeline.settling import choose_targets, left_out
from dmformer.runtimes import registry
from dmformer.runtimes.base import Runtime
from dmformer.runtimes.inspection.base import Inspector
from dmformer.runtimes.registry import get_runtime
from dmformer.targets import DEFAULT, TARGETS, Target, get_target, load
from tests.runtimes.contract import RuntimeContract
from tests.support import ROOT, invoke, run
from tests.test_layers import FILES, place

ROWS = pytest.mark.parametrize("row", TARGETS.values(), ids=TARGETS)
STRINGS = ("runtime", "maker", "inspector", "describe", "emitter", "finish", "trial", "class_map")
Capture = pytest.CaptureFixture[str]


@ROWS
@pytest.mark.parametrize("field", STRINGS)
def test_what_a_row_names_is_there(row: Target, field: str) -> None:
    where = getattr(row, field)
    if where is None:
        assert row.__dataclass_fields__[field].default is None
        return
    assert callable(load(where))


def test_every_string_of_that_form_is_looked_at() -> None:
    named = {name for row in TARGETS.values() for name, value in asdict(row).items() if ":" in str(value)}
    assert named - {"options", "install"} == {*STRINGS}


@ROWS
def test_they_are_what_they_are_named_as(row: Target) -> None:
    runtime = get_runtime(row.name)
    assert isinstance(runtime, Runtime) and runtime.target is row
    assert isinstance(get_maker(row.name), Maker)
    if row.inspector:
        methods = {name for name, value in vars(Inspector).items() if inspect.isfunction(value)} - {"__init__"}
        assert all(callable(getattr(load(row.inspector), name)) for name in methods if not name.startswith("_"))
    assert list(inspect.signature(load(row.trial)).parameters) == ["graph", "full_precision"]
    if row.emitter:
        extra = ["scheme"] if row.follows_isa else []
        assert list(inspect.signature(load(row.emitter)).parameters) == ["model", "ranges", "int8_groups", *extra]
        assert row.float_kinds


@ROWS
def test_a_row_is_readable_and_crosses_a_process_boundary(row: Target) -> None:
    assert row.title and row.library and "pip install" in row.install
    assert row.versioned
    assert row.embedded_as in {"", *TARGETS}
    assert row.inspector is None or row.profiler, "a breakdown of the time says who told it"
    assert Target(**json.loads(json.dumps(asdict(row)))).name == row.name
    reason = get_runtime(row.name).missing_for_export()
    assert reason is None or row.install in reason


def test_the_commands_know_them(capsys: Capture) -> None:
    code, out, _ = invoke(capsys, "doctor", "--json")
    assert code == 0 and json.loads(out)["targets"].keys() == TARGETS.keys()
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    told = next(str(vars(option)["help"]) for option in group.commands["export"].params if option.name == "target")
    assert [*TARGETS, "all"] == re.findall(r"[a-z-]+", told.partition(";")[0].replace(" or ", ", "))
    panels = {getattr(option, "rich_help_panel", None) for option in group.commands["export"].params}
    assert {row.panel for row in TARGETS.values()} <= panels
    with pytest.raises(UsageError) as caught:
        get_target("tpu")
    assert all(name in str(caught.value.hint) for name in TARGETS)


@pytest.mark.parametrize("absent", TARGETS)
def test_all_says_which_targets_it_leaves_out_and_why(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def runtime(name: str) -> SimpleNamespace:
        reason = f"it is not here: {TARGETS[name].install}" if name == absent else None
        return SimpleNamespace(missing=lambda: reason, missing_for_export=lambda: None)

    monkeypatch.setattr(registry, "get_runtime", runtime)
    assert left_out(["all"]) == {absent: f"it is not here: {TARGETS[absent].install}"}
    assert choose_targets(["all"]) == tuple(name for name in TARGETS if name != absent)
    assert absent in choose_targets(["all", absent]), "who names it means it"
    assert left_out([absent]) == {}


def test_every_target_keeps_the_contract() -> None:
    def leaves(kind: type[RuntimeContract]) -> Iterator[str]:
        for one in kind.__subclasses__():
            yield from leaves(one) if one.__subclasses__() else [one.target]

    for room in (
        "runtimes.test_onnx_runtime",
        "runtimes.test_ncnn",
        "runtimes.test_openvino",
        "coreml.test_contract",
        "tensorrt.test_contract",
    ):
        importlib.import_module(f"tests.{room}")
    assert sorted(leaves(RuntimeContract)) == sorted(TARGETS)


def test_the_default_is_one_of_them() -> None:
    assert DEFAULT in TARGETS


def test_reading_the_table_costs_nothing() -> None:
    code = """
import sys
import dmformer.targets
ours = {name for name in sys.modules if name.partition(".")[0] == "dmformer"}
assert ours == {"dmformer", "dmformer.version", "dmformer.targets", "dmformer.errors"}, ours
assert not {"numpy", "pydantic", "torch", "onnx"} & set(sys.modules)
"""
    done = run(code=code)
    assert done.returncode == 0, done.stderr


OWN = {"targets.py": "the table", "telemetry.py": "libraries by the names of their packages"}
"""Files that may tell targets apart by name. Those of ``embedding/`` say for which targets a template exists."""


def decisions(path: Path) -> Iterator[str]:
    """Comparisons with names of targets, and dictionaries and sets of them."""
    for node in ast.walk(ast.parse(path.read_text())):
        parts: list[ast.expr | None] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict) and len(node.keys) > 1:
            parts = [*node.keys]
        elif isinstance(node, ast.Set | ast.Tuple | ast.List):
            parts = [*node.elts]
        named = [part for part in parts if isinstance(part, ast.Constant) and part.value in TARGETS.keys() - {"onnx"}]
        if named and (isinstance(node, ast.Compare) or len(named) > 1):
            yield f"{place(path)}:{named[0].lineno}: {named[0].value!r}"


@pytest.mark.parametrize("path", FILES, ids=place)
def test_what_a_target_is_is_said_in_one_place(path: Path) -> None:
    if place(path) not in OWN and not place(path).startswith("embedding/"):
        assert list(decisions(path)) == []


def test_a_decision_by_name_is_seen(tmp_path: Path) -> None:
    for text in ('x == "coreml"', 'x in ("openvino", "tensorrt")', '{"openvino": 1, "coreml": 2}', '"coreml" != x'):
        (tmp_path / "x.py").write_text(text)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tests.test_targets.place", lambda path: path.name)
            assert list(decisions(tmp_path / "x.py"))
    assert (ROOT / "dmformer" / "targets.py").is_file()
