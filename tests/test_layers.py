"""The rooms of the house: imports go one way, the device side needs no torch, and no file or function outgrows it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

from tests.support import ROOT, run

PACKAGE = ROOT / "dmformer"
TEMPLATES = PACKAGE / "embedding" / "templates"
"""Sources of the projects that ``dmformer embed`` writes: data of this package, no part of it."""
FILES = sorted(path for path in PACKAGE.rglob("*.py") if TEMPLATES not in path.parents)
KNOWN = frozenset(FILES)
T = TypeVar("T")
ROOMS = (
    "", "data", "tasks", "model", "graph", "calibration", "runtimes", "prediction", "evaluation",
    "devices", "embedding", "pipeline", "cli",
)  # fmt: skip
"""A room imports from itself and from those before it; the modules in the package's root are the first."""
FIRST = {"", "data", "tasks"}
"""These are one floor: images are read by the same few modules that preprocessing, tasks and bundles are made of."""

ALLOWED = {
    ("__init__.py", "*"): "the public API: every name is bound on its first use",
    ("__main__.py", "cli"): "python -m dmformer",
    ("records.py", "model"): "a manifest holds the ModelConfig, which is data and needs no torch",
}

EXPORT_SIDE = ("model", "graph", "calibration", "pipeline")
DEVICE_SIDE_TOO = ("dmformer.model.config", "dmformer.pipeline.options", "dmformer.pipeline.verification")
BLOCKED = ("torch", "onnx", "onnx_ir", "onnxsim", "onnxscript", "safetensors")
"""What only the export side has."""

MAX_FILE, MAX_FUNCTION = 300, 40


def place(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room_of(parts: tuple[str, ...]) -> str:
    """The room of a module, by its path below the package: one in the root is of the room ``""``."""
    return parts[0] if (PACKAGE / parts[0]).is_dir() else ""


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of everything of this package that a file imports, at whatever depth."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            assert node.level == 0, f"{place(path)}: a relative import"
            whole = node.module == "dmformer"
            modules = [f"dmformer.{alias.name}" for alias in node.names] if whole else [node.module or ""]
        for module in modules:
            parts = tuple(module.split("."))
            if parts[0] == "dmformer" and len(parts) > 1:
                yield node.lineno, room_of(parts[1:])


def test_every_room_has_its_place() -> None:
    found = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert found <= set(ROOMS), "say in ROOMS where a new room stands"


@pytest.mark.parametrize("path", FILES, ids=place)
def test_imports_go_one_way(path: Path) -> None:
    name = place(path)
    own = room_of(path.relative_to(PACKAGE).parts)
    floor = max(map(ROOMS.index, FIRST)) if own in FIRST else ROOMS.index(own)
    wrong = {(line, room) for line, room in imported(path) if ROOMS.index(room) > floor}
    unexplained = [entry for entry in wrong if not {(name, entry[1]), (name, "*")} & ALLOWED.keys()]
    assert not unexplained, f"dmformer/{name} imports from later rooms (line, room): {sorted(unexplained)}"


def test_no_two_files_import_each_other() -> None:
    """Directly or around a corner, at whatever depth, for types alone too: a file can be read before its readers."""
    edges = {path: files_imported(path) for path in FILES}
    circles = [[place(path) for path in circle] for circle in strongly_connected(edges) if len(circle) > 1]
    assert not circles


def test_circles_are_seen() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a", "f"}, "f": {"e"}}
    assert sorted(sorted(circle) for circle in strongly_connected(graph)) == [["a"], ["b", "c"], ["d"], ["e", "f"]]
    edges = files_imported(PACKAGE / "processes.py")
    assert {place(path) for path in edges} >= {"errors.py", "chatter.py", "targets.py", "scratch.py"}
    # TYPE_CHECKING and functions count.
    assert PACKAGE / "pipeline" / "api.py" in files_imported(PACKAGE / "__init__.py")
    assert PACKAGE / "cli" / "app.py" in files_imported(PACKAGE / "cli" / "__init__.py")


def files_imported(path: Path) -> set[Path]:
    """The files of this package that a file names in its imports; of a package that is its ``__init__.py``."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            modules |= {full if file_of(full) else node.module or "" for full in inside.values()}
    return {file for module in modules if (file := file_of(module)) is not None} - {path}


def file_of(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file in KNOWN), None)


def strongly_connected(edges: Mapping[T, set[T]]) -> list[list[T]]:
    """The strongly connected components of a graph (Tarjan 1972)."""
    index: dict[T, int] = {}
    low: dict[T, int] = {}
    stack: list[T] = []
    components: list[list[T]] = []

    def visit(node: T) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in edges[node]:
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            start = stack.index(node)
            components.append(stack[start:])
            del stack[start:]

    for node in edges:
        if node not in index:
            visit(node)
    return components


@pytest.mark.parametrize(("name", "room"), ALLOWED)
def test_every_exception_is_still_needed(name: str, room: str) -> None:
    rooms = {found for _, found in imported(PACKAGE / name)}
    assert rooms if room == "*" else room in rooms, ALLOWED[name, room]


DEVICE_SIDE = """
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

BLOCKED = sys.argv[1].split(",")
sys.meta_path.insert(0, Blocked())
failed = []
for name in sys.argv[2:]:
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed.append(f"{name}: {error}")
sys.exit("\\n".join(failed) or 0)
"""


def test_the_device_side_imports_without_the_export_side_s_libraries() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in FILES
        if path.relative_to(PACKAGE).parts[0] not in EXPORT_SIDE and path.name != "__main__.py"
    ]
    assert "dmformer.bundle" in modules
    assert "dmformer.runtimes.openvino" in modules
    done = run(",".join(BLOCKED), *modules, *DEVICE_SIDE_TOO, code=DEVICE_SIDE)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", FILES, ids=place)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
            signature = node.body[0].lineno - node.lineno - 1
            lines = signature + ((body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0)
            assert lines <= MAX_FUNCTION, f"{node.name} has {lines} lines besides its docstring"


def test_nothing_imports_through_the_links_in_the_root() -> None:
    links = {link.name for link in ROOT.iterdir() if link.is_symlink()}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] not in links


TASK_WORDS = re.compile(r"top1|top5|miou|num_classes|classif", re.IGNORECASE)
OF_TASKS = ("tasks/", "model/heads.py", "prediction/classifier.py", "prediction/load.py", "__init__.py")
"""Where a task may be spelled out: its own file, its head, its public face."""
STILL_SPELLED = {
    "cli/embed.py": 2,
    "cli/export.py": 1,
    "data/images.py": 1,
    "graph/coreml/build.py": 1,
    "graph/coreml/conversion.py": 4,
    "graph/coreml/network.py": 1,
    "graph/coreml/plan.py": 6,
    "model/foreign.py": 1,
    "pipeline/option_groups.py": 2,
    "runtimes/coreml/neural_engine.py": 1,
    "runtimes/coreml/session.py": 1,
    "runtimes/mlprogram/evaluator.py": 1,
    "runtimes/mlprogram/operators.py": 2,
}
"""How many lines of other files still do. Only to be made smaller."""


def test_a_task_is_spelled_out_in_its_own_file_alone() -> None:
    spelled = {
        place(path): sum(bool(TASK_WORDS.search(line)) for line in path.read_text().splitlines())
        for path in FILES
        if not place(path).startswith(OF_TASKS)
    }
    assert {name: lines for name, lines in spelled.items() if lines} == STILL_SPELLED
