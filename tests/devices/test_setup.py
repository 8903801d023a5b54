"""An environment is made on a device that has nothing but Python: without torch, once, removable without a trace."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dmformer.devices import agent, defaults, link
from dmformer.devices.content import content_of
from dmformer.devices.device import Device, driver_of
from dmformer.devices.environment import SYSTEM, set_up
from dmformer.devices.facts import Facts
from dmformer.devices.resource import Resource
from dmformer.devices.wheels import platform_tags, source_digest, wheel_of
from dmformer.errors import DeviceError, MissingBackendError
from dmformer.progress import Silent
from tests.devices.conftest import Written
from tests.devices.sshd import Served, served
from tests.support import Command, invoke

FACTS = {
    "python": (3, 11, 2), "executable": "/usr/bin/python3", "system": "Linux", "machine": "aarch64",
    "libc": ("glibc", "2.31"), "directory": "/home/pi/.dmformer-device", "time": 0.0, "environment": None,
}  # fmt: skip


def test_the_environment_holds_no_torch_and_is_found_again(ready: Served) -> None:
    with Device(driver_of("board", ready.resource)) as device:
        installed = device.facts.environment
        assert installed is not None and installed.source == source_digest() and installed.targets == ("onnxruntime",)
        python = f"{device.facts.directory}/environment/bin/python"
        program = "import importlib.util as u; print([n for n in ('torch', 'onnx', 'openvino') if u.find_spec(n)])"
        said: list[bytes] = []
        ended = device.run([python, "-I", "-c", program], heard=lambda _, line: said.append(line))
        assert (ended.code, b"".join(said)) == (0, b"[]\n")


def test_a_second_setup_does_nothing_and_leaves_nothing(ready: Served, written: Written, command: Command) -> None:
    written(board=ready.resource)
    before = sorted(path.relative_to(ready.home) for path in ready.home.rglob("*"))
    out, _ = command("device", "setup", "board", "--target", "onnxruntime", "--json")
    assert "nothing to do" in out
    assert sorted(path.relative_to(ready.home) for path in ready.home.rglob("*")) == before


def test_what_is_removed_leaves_no_trace(written: Written, command: Command, tmp_path: Path) -> None:
    with served() as one:
        before = sorted(one.home.rglob("*"))
        (tmp_path / "file").write_text("content")
        with Device(driver_of("board", one.resource)) as device:
            device.put(content_of(tmp_path / "file"))
        assert sorted(one.home.rglob("*")) != before
        written(board=one.resource)
        _, err = command("device", "remove", "board")
        assert "is gone" in err
        assert sorted(one.home.rglob("*")) == before
        assert "no device is known" in command("device", "list")[1]


def old_python(*versions: str) -> str:
    """An interpreter of one of these versions, where this machine has one."""
    places = [Path(sys.base_prefix).parent, Path("/usr")]
    found = [
        python for version in versions for place in places for python in (*place.glob(f"{version}.*/bin/python"),
        place / "bin" / f"python{version}") if python.exists()
    ]  # fmt: skip
    if not found:
        pytest.skip(f"no Python {' or '.join(versions)} here")
    return str(found[-1])


def test_an_old_python_is_told_with_what_is_needed(tmp_path: Path) -> None:
    resource = Resource(python=old_python("3.7", "3.8", "3.9"), directory=str(tmp_path / "device"))
    with Device(driver_of("board", resource)) as device:
        with pytest.raises(DeviceError, match=r"is Python 3\.[789]\.\d+; dmformer needs 3.10 to 3.13") as caught:
            set_up(device, ("onnxruntime",), carry=True, progress=Silent())
        assert "--python" in str(caught.value.hint)
    assert not (tmp_path / "device").exists()


def test_a_python_that_is_older_still_is_told_too(tmp_path: Path) -> None:
    resource = Resource(python=old_python("3.6"), directory=str(tmp_path / "device"))
    with pytest.raises(DeviceError, match="is too old"):
        Device(driver_of("board", resource))


@pytest.mark.parametrize("module", [agent, link])
def test_the_agent_is_python_3_7(module: object) -> None:
    ast.parse(Path(str(module.__file__)).read_text(), feature_version=(3, 7))  # type: ignore[attr-defined]


def test_a_wheel_is_what_runs_here_and_equal_content_is_an_equal_wheel(tmp_path: Path) -> None:
    first = wheel_of("dmformer", "dmformer", tmp_path)
    content = first.read_bytes()
    assert wheel_of("dmformer", "dmformer", tmp_path).read_bytes() == content
    with zipfile.ZipFile(first) as archive:
        names = archive.namelist()
        assert archive.read("dmformer/devices/agent.py") == Path(agent.__file__).read_bytes()
    assert not [name for name in names if "__pycache__" in name or ".." in name]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check",
         "--target", str(tmp_path / "site"), str(first)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "dmformer" / "embedding" / "templates").is_dir()
    with pytest.raises(MissingBackendError, match="no-such-thing is not installed"):
        wheel_of("no-such-thing", "none", tmp_path)


def test_wheels_are_those_of_the_device() -> None:
    tags = platform_tags(Facts.model_validate(FACTS))
    assert tags[0] == "manylinux_2_31_aarch64" and tags[-1] == "manylinux2014_aarch64"
    for libc in (("", ""), ("musl", "1.2"), ("glibc", "new")):
        with pytest.raises(DeviceError, match="Linux with glibc"):
            platform_tags(Facts.model_validate({**FACTS, "libc": libc}))


def test_the_tensorrt_of_a_jetsons_system_is_seen(tmp_path: Path) -> None:
    """The folder that JetPack's package makes, laid out as it does, and nothing else beside it."""
    system = tmp_path / "usr/lib/python3.10/dist-packages"
    for name in ("tensorrt", "tensorrt_dispatch", "numpy"):
        (system / name).mkdir(parents=True)
    (system / "tensorrt" / "__init__.py").write_text("__version__ = '10.3.0'\n")
    (system / "tensorrt-10.3.0.dist-info").mkdir()
    site = tmp_path / "site-packages"
    site.mkdir()
    program = SYSTEM.replace("/usr/lib", str(tmp_path / "usr/lib"))
    here = f"import sys; sys.path.insert(0, {str(site)!r})\n"
    words = [sys.executable, "-I", "-c", here + program, "tensorrt"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(system / "tensorrt")
    assert sorted(path.name for path in site.iterdir()) == [
        "tensorrt", "tensorrt-10.3.0.dist-info", "tensorrt_dispatch",
    ]  # fmt: skip
    program = f"import sys; sys.path.insert(0, {str(site)!r}); import tensorrt; print(tensorrt.__version__)"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "10.3.0\n"


def test_targets_that_no_device_can_have_are_refused(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    written(board=Resource(host="nowhere.invalid"))
    code, _, err = invoke(capsys, "device", "setup", "board", "--target", "coreml")
    assert code == 2
    assert "choose from: " + ", ".join(defaults.EXTRAS) in err
