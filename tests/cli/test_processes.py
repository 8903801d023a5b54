"""What only a process of its own can show: what it loads, how it is stopped, and what it leaves behind."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from dmformer.bundle import Bundle
from dmformer.errors import BundleError
from tests.conversions import CONVERSIONS, REMEMBERING
from tests.support import finish, kill_when, one_line, partials, run, snapshot, start, world

Exported = Callable[..., Path]

LIMITED = f"""
import resource, sys
size = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
{REMEMBERING}
"""
WITHOUT_TORCH = '''
import sys

class Hiding:
    """A finder to which some packages are not installed, for `find_spec` too."""
    def __init__(self, finder): self.finder = finder
    def __getattr__(self, name): return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in ("torch", "onnx", "onnxsim", "onnxscript", "safetensors")
        return None if hidden else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
from dmformer.cli import main
main()
'''
HEAVY = "{'torch', 'onnx', 'onnxruntime', 'openvino', 'pydantic', 'numpy', 'PIL', 'safetensors'}"


@pytest.mark.parametrize(
    "use",
    [
        "import dmformer; dir(dmformer)",
        "import sys; sys.argv[1:] = ['--help']; from dmformer.cli import main; main()",
        "import sys; sys.argv[1:] = ['--version']; from dmformer.cli import main; main()",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_used(use: str) -> None:
    code = f"""
import atexit, os, sys
def check():
    if loaded := {HEAVY} & set(sys.modules):
        print(loaded, file=sys.stderr, flush=True)
        os._exit(99)
atexit.register(check)
{use}
"""
    done = run(code=code)
    assert done.returncode == 0, done.stderr


def test_the_help_of_a_command_loads_only_what_typer_itself_loads() -> None:
    code = """
import sys
from dmformer.cli import main
try:
    main()
finally:
    loaded = {"torch", "onnx", "onnxruntime", "openvino", "numpy", "PIL", "safetensors"} & set(sys.modules)
    assert not loaded, loaded
"""
    done = run("export", "--help", code=code)
    assert done.returncode == 0, done.stderr


def test_importing_the_public_names_loads_neither_torch_nor_a_runtime() -> None:
    code = """
import sys
import dmformer
dmformer.Bundle, dmformer.open_bundle, dmformer.export
sys.exit(str(loaded) if (loaded := {"torch", "onnx", "onnxruntime", "openvino"} & set(sys.modules)) else 0)
"""
    done = run(code=code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_the_device_side_verifies_and_predicts_without_torch(
    target: str, exported: Exported, labelled: Path, tmp_path: Path
) -> None:
    import numpy as np
    from PIL import Image

    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "black.png")
    for arguments in (
        ("verify", exported(target), "--data", labelled),
        ("predict", exported(target), tmp_path / "black.png"),
        ("inspect", exported(target)),
        ("doctor",),
    ):
        done = run(*arguments, code=WITHOUT_TORCH)
        assert done.returncode == 0, done.stderr
    for command in ("export", "inspect"):
        done = run(command, "x.safetensors", code=WITHOUT_TORCH)
        assert done.returncode == 2
        assert "not installed" in one_line(done.stderr)
        assert "pip install 'dmformer[export]'" in done.stderr


def test_a_reader_that_goes_away_gives_no_traceback() -> None:
    process = start("doctor", "--json")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.wait()
    process.stderr.close()


def scratch() -> Path:
    return Path(os.environ["TMPDIR"])


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "making the graph": lambda out: any(scratch().glob("dmformer-*")),
    "building the engine": lambda out: bool(partials(out)),
    "the engine is there": lambda out: any(out.glob(".*.partial/model.*")),
    "the manifest is there": lambda out: any(out.glob(".*.partial/manifest.json")),
}
PROGRAMS = {"making the graph": None}
"""What is stopped at a moment, where it must be PyTorch's conversion."""


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_leaves_nothing(moment: str, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "parent" / "out"
    before = world(tmp_path)
    process = start("export", weights, "-o", out, "-t", "openvino", code=PROGRAMS.get(moment, REMEMBERING))
    kill_when(process, lambda: MOMENTS[moment](out), signal.SIGINT)
    done = finish(process)
    assert done.returncode == 130, done.stderr
    assert "stopped" in one_line(done.stderr)
    assert done.stdout == ""
    assert world(tmp_path) == before


def bundles_that_load(folder: Path) -> list[Path]:
    found = []
    for path in [entry for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []:
        try:
            found.append(Bundle.load(path).path)
        except BundleError:
            continue
    return found


@pytest.mark.parametrize("moment", MOMENTS)
def test_kill_9_leaves_nothing_that_loads(moment: str, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start("export", weights, "-o", out, code=PROGRAMS.get(moment, REMEMBERING))
    kill_when(process, lambda: MOMENTS[moment](out), signal.SIGKILL)
    assert finish(process).returncode == -signal.SIGKILL
    assert bundles_that_load(out) == []


def test_kill_9_does_not_harm_a_bundle_that_is_being_replaced_and_the_next_run_cleans_up(
    exported: Exported, weights: Path, tmp_path: Path
) -> None:
    place = tmp_path / "out" / "mini-onnxruntime-fp32"
    shutil.copytree(exported("onnxruntime"), place)
    before = snapshot(place)
    for moment in ("building the engine", "the manifest is there"):
        left = set(partials(place.parent))
        process = start("export", weights, "-o", place.parent, "--force", code=REMEMBERING)

        def reached(moment: str = moment, left: set[Path] = left) -> bool:
            new = set(partials(place.parent)) - left
            return bool(new) and (moment == "building the engine" or any((p / "manifest.json").exists() for p in new))

        kill_when(process, reached, signal.SIGKILL)
        assert finish(process).returncode == -signal.SIGKILL
        assert snapshot(place) == before
        assert bundles_that_load(place.parent) == [place]
    assert partials(place.parent), "the killed runs left something to be cleaned"
    assert run("export", weights, "-o", place.parent, "--force", code=REMEMBERING).returncode == 0
    assert partials(place.parent) == []
    assert snapshot(place) != before, "golden samples are 32 now"
    Bundle.load(place)


def test_two_exports_to_the_same_place_give_one_bundle_and_one_refusal(weights: Path, tmp_path: Path) -> None:
    processes = [start("export", weights, "-o", tmp_path / "out", code=REMEMBERING) for _ in range(2)]
    done = [finish(process) for process in processes]
    assert sorted(result.returncode for result in done) == [0, 2], [result.stderr for result in done]
    refused = next(result for result in done if result.returncode == 2)
    assert "exists already" in one_line(refused.stderr) or "cannot be written" in one_line(refused.stderr)
    assert bundles_that_load(tmp_path / "out") == list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("target", "limit"), [("onnxruntime", 60_000), ("onnxruntime", 300_000), ("openvino", 100_000)]
)
def test_a_file_that_cannot_grow_is_one_line(
    target: str, limit: int, exported: Exported, weights: Path, tmp_path: Path
) -> None:
    exported(target)
    # A copy, in which nothing changes: what is too large is not the tests' own memory of conversions.
    remembered = shutil.copytree(os.environ[CONVERSIONS], tmp_path / "remembered", ignore=shutil.ignore_patterns("*.*"))
    before = world(tmp_path)
    environment = {**os.environ, CONVERSIONS: str(remembered)}
    done = run(str(limit), "export", weights, "-t", target, "-o", tmp_path / "out", code=LIMITED, env=environment)
    assert done.returncode == 2, done.stderr
    assert "too large" in one_line(done.stderr)
    assert world(tmp_path) == before


@pytest.mark.parametrize(("target", "size"), [("onnxruntime", 128), ("openvino", 180), ("coreml", 64)])
def test_a_full_disk_is_one_line_and_leaves_it_as_it_was(
    target: str, size: int, weights: Path, disk: Callable[[int], Path]
) -> None:
    place = disk(size)
    (place / "precious").write_text("kept")
    before = snapshot(place)
    done = run("export", weights, "-t", target, "-o", place / "out", code=REMEMBERING)
    assert done.returncode == 2, done.stderr
    assert one_line(done.stderr).startswith(f"error: {place}/out/mini-{target}-")
    assert "cannot be written (No space left" in one_line(done.stderr)
    assert snapshot(place) == before


@pytest.mark.parametrize(("target", "size"), [("onnxruntime", 32), ("coreml", 100)])
def test_no_room_for_temporary_files_is_told_of_them(
    target: str, size: int, weights: Path, disk: Callable[[int], Path], tmp_path: Path
) -> None:
    place = disk(size)
    environment = {**os.environ, "TMPDIR": str(place)}
    done = run("export", weights, "-t", target, "-o", tmp_path / "out", code=REMEMBERING, env=environment)
    assert done.returncode == 2, done.stderr
    assert one_line(done.stderr).startswith(f"error: {place}: temporary files cannot be written (No space left")
    assert snapshot(place) == {}
    assert not (tmp_path / "out").exists()
