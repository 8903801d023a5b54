"""What is printed: no name steers a terminal or is taken for markup, and no escape is written where none is wanted."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from dmformer.cli.output import escaped
from dmformer.model.checkpoint import load_checkpoint, save_checkpoint
from tests.documents import make_document, make_result
from tests.support import ROOT, edit_manifest, invoke, run

Capture = pytest.CaptureFixture[str]
ESCAPING = {
    "escaped", "number", "size_text", "digits", "len", "_state", "_can", "printable", "one_line", "parts_table",
}  # fmt: skip
"""Calls whose result holds neither markup nor control characters of others; `_state` and `_can` escape it."""
PRINTING = {"print", "add_row", "table", "Table", "named", "track", "echo", "secho"}
TABLES = {"grid", "names", "groups", "items", "total", "self", "mark", "__version__"}
"""Names that are no text, or text of ours."""
PASSED_ON = {"title", "columns", "sign"}
"""Parameters of helpers, whose callers are looked at."""


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in PRINTING:
                yield node


def harmless(node: ast.expr) -> bool:
    """Whether an expression that is printed holds no text of others that is not escaped."""
    match node:
        case ast.JoinedStr(values=parts) | ast.BoolOp(values=parts):
            inner = parts
        case ast.BinOp(left=one, right=other) | ast.IfExp(body=one, orelse=other):
            inner = [one, other]
        case ast.FormattedValue(value=value, format_spec=spec):
            inner = [] if spec is not None and ast.unparse(spec)[-2] in "dfe%," else [value]
        case ast.Starred(value=value):
            inner = [value]
        case ast.Call(func=ast.Name(id="map"), args=[ast.Name(id=name), *_]) | ast.Call(func=ast.Name(id=name)):
            return name in ESCAPING
        case ast.Name(id=name):
            return name in TABLES | PASSED_ON or name.isupper()
        case _:
            return isinstance(node, ast.Constant)
    return all(map(harmless, inner))


def test_every_text_that_is_printed_is_escaped() -> None:
    found = [
        f"{path.name}:{argument.lineno}: {ast.unparse(argument)}"
        for path in sorted((ROOT / "dmformer" / "cli").glob("*.py"))
        for call in calls(ast.parse(path.read_text()))
        for argument in call.args
        if not harmless(argument)
    ]
    assert not found, "\n".join(found)


def test_only_the_command_line_prints() -> None:
    inner = [path for path in (ROOT / "dmformer").rglob("*.py") if not {"cli", "templates"} & set(path.parts)]
    printing = {
        path.name
        for path in inner
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom | ast.Import) and "rich" in ast.unparse(node).split()
    }
    assert printing == set()


HOSTILE = ["[red]x", "[/]", "[link=y]z", "a\\[b", ":smile:"]
"""Names that are markup, or spoil it: a closing mark without its opening one is an error of rich."""


@pytest.fixture(params=HOSTILE)
def hostile(request: pytest.FixtureRequest, exported: Callable[..., Path], tmp_path: Path) -> dict[str, Path]:
    """Bundle, picture, measurement and folders of a hostile name, with texts of that name in them."""
    name = str(request.param)
    bundle = tmp_path / name / name
    shutil.copytree(exported("onnxruntime"), bundle)

    def rename(document: dict[str, Any]) -> None:
        document["name"] = name
        document["labels"] = [f"{name}{index}" for index in range(len(document["labels"]))]
        document["source"]["notes"] = [name]
        document["host"]["os"] = name

    edit_manifest(bundle, rename)
    picture = tmp_path / f"{name}.png"
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(picture)
    measured = make_document(make_result(name, model=name, executes=name), warnings=(name,), notes=(name,))
    (tmp_path / f"{name}.json").write_text(measured.to_json())
    return {"name": Path(name), "bundle": bundle, "picture": picture, "measured": tmp_path / f"{name}.json"}


def test_names_are_shown_as_they_are(
    hostile: dict[str, Path], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    name, bundle = str(hostile["name"]), hostile["bundle"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
    own = tmp_path / name / f"{name}.safetensors"
    save_checkpoint(replace(load_checkpoint(weights), name=name), own)
    for arguments in (
        ("inspect", bundle),
        ("inspect", own),
        ("verify", bundle),
        ("predict", bundle, hostile["picture"]),
        ("embed", bundle, "--lang", "python", "-o", tmp_path / f"{name}-project"),
        ("compare", hostile["measured"], hostile["measured"]),
        ("report", tmp_path / f"{name}.html", hostile["measured"]),
        ("cache",),
    ):
        code, out, err = invoke(capsys, *arguments)
        assert code == 0, (arguments[0], err)
        # Weights are called by what is left of a name that suits files.
        assert name in out + err or own in arguments, (arguments[0], out, err)
    for command in ("verify", "inspect", "calibrate", "bench", "build"):
        code, _, err = invoke(capsys, command, tmp_path / f"absent{name}")
        assert code == 2, (command, err)
        assert f"absent{name}" in err, (command, err)


COMMANDS = """
import json, sys
from dmformer.cli import main
for arguments in json.loads(sys.argv.pop()):
    sys.argv[1:] = arguments
    try: main()
    except SystemExit: pass
"""


def on_a_terminal(code: str, argument: str, environment: dict[str, str]) -> bytes:
    """What a program writes on a terminal."""
    mine, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code, argument], stdin=its, stdout=its, stderr=its, env={**os.environ, **environment}
    )
    os.close(its)
    written = b""
    with contextlib.suppress(OSError):  # Linux says so where the last writer has closed
        while more := os.read(mine, 1 << 16):
            written += more
    os.close(mine)
    assert process.wait() == 0, written
    return written


@pytest.mark.parametrize(
    ("environment", "plain"),
    [({"NO_COLOR": "1"}, True), ({"TERM": "dumb"}, True), ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True), ({}, False)],
    ids=str,
)
def test_no_escape_is_written_where_none_is_wanted(
    environment: dict[str, str], plain: bool, exported: Callable[..., Path], labelled: Path
) -> None:
    bundle = str(exported("onnxruntime"))
    every = [[], ["--help"], ["inspect", "absent"], ["doctor", "--odd"], ["export", "-h"], ["inspect", bundle]]
    every += [["verify", bundle, "--data", str(labelled)], ["doctor"], ["--verbose", "predict", bundle, "absent.png"]]
    written = on_a_terminal(COMMANDS, json.dumps(every), {"TERM": "xterm-256color", **environment})
    assert (b"\x1b" not in written) == plain, written[written.find(b"\x1b") - 200 :][:400]
    assert written.count(b"error: ") == 2


def test_no_escape_is_written_into_a_file(exported: Callable[..., Path], labelled: Path) -> None:
    bundle = str(exported("onnxruntime"))
    every = [["--help"], ["inspect", "absent"], ["inspect", bundle], ["verify", bundle, "--data", str(labelled)]]
    done = run(json.dumps(every), code=COMMANDS, env={**os.environ, "TERM": "xterm-256color"})
    assert "✓" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


@given(st.text(alphabet="\\[]/ab #@=:", max_size=12))
@example("\\[b")
@example("\\\\[b]")
def test_text_in_markup_is_what_it_was(text: str) -> None:
    from rich.text import Text

    shown = Text.from_markup(f"[bold]{escaped(text)}[/bold].", emoji=False)
    assert shown.plain == f"{text}." or (text.endswith("\\") and shown.plain.rstrip("\\.") == text.rstrip("\\"))
    assert [span.style for span in shown.spans] == ["bold"]
