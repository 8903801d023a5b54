"""Nobody is called and nothing is kept: real processes in a network of their own with a resolver that listens."""

from __future__ import annotations

import ast
import os
import shutil
import sys
from pathlib import Path

import pytest

from dmformer.bundle import Bundle
from dmformer.embedding.project import embed
from tests.conftest import Exported
from tests.support import ROOT, run
from tests.test_layers import FILES, PACKAGE, place

LISTEN = """
import os, socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=False)
subprocess.run(["mount", "--bind", sys.argv[1], "/etc/resolv.conf"], check=True)
resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
resolver.bind(("0.0.0.0", 53))
done = subprocess.run(sys.argv[2:])
resolver.setblocking(False)
try:
    print("ASKED", resolver.recv(512), file=sys.stderr)
except BlockingIOError:
    pass
sys.exit(done.returncode)
"""
REPORTS = "import socket\ntry: socket.gethostbyname('collector.example')\nexcept OSError: pass"


def isolated(tmp_path: Path, *command: str | Path) -> tuple[str, list[Path]]:
    """What a process said, and what it left in its home and its temporary folder."""
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    places = [tmp_path / "home", tmp_path / "tmp"]
    for folder in places:
        folder.mkdir(exist_ok=True)
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_"))}
    done = run(
        "-nm", sys.executable, "-c", LISTEN, resolver, sys.executable, *command,
        program=["unshare"], env={**keep, "HOME": str(places[0]), "TMPDIR": str(places[1]), "CI": ""}, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr, [path for folder in places for path in folder.rglob("*")]


@pytest.fixture
def box(tmp_path: Path) -> Path:
    if os.geteuid() or not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("a network of its own needs root, unshare and ip")
    said, _ = isolated(tmp_path, "-c", REPORTS)
    if "ASKED" not in said:
        pytest.skip("the resolver of a network of its own is not asked here")
    return tmp_path


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_a_command_calls_nobody(target: str, exported: Exported, box: Path) -> None:
    said, left = isolated(
        box, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); from dmformer.cli import main; main()",
        "bench", exported(target), "--against", "none", "--duration", "0.05", "--launches", "1", "--warmup", "0",
    )  # fmt: skip
    assert "ASKED" not in said
    assert not [path for path in left if path.is_file()]


CONVERTS = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from pathlib import Path
from dmformer.runtimes.base import EngineRequest
from dmformer.runtimes.child import build_in_child
Path("made").mkdir()
build_in_child("openvino", EngineRequest(onnx=sys.argv[1], directory="made", precision="fp32", stored="float32"))
"""
"""The converter is what reports in OpenVINO; here it runs in the child that builds engines."""


def test_building_calls_nobody(exported: Exported, box: Path) -> None:
    said, left = isolated(box, "-c", CONVERTS, ROOT, exported("onnxruntime") / "model.onnx")
    assert "ASKED" not in said
    assert not [path for path in left if path.is_file()]


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_an_embedded_project_calls_nobody(target: str, exported: Exported, box: Path) -> None:
    embed(Bundle.load(exported(target)), "python", box / "project")
    said, left = isolated(box, "project/self_test.py")
    assert "ASKED" not in said
    assert not [path for path in left if path.is_file()]


def test_runtimes_are_imported_in_one_place() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not {"onnxruntime", "openvino"} & set(names), f"{place(path)}: dmformer.telemetry does that"
    assert (PACKAGE / "telemetry.py").is_file()
