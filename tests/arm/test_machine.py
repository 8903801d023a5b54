"""The machine itself: what later tests are run on is Arm through and through, and leaves nothing."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.arm.device import ArmDevice, arm_device

pytestmark = pytest.mark.arm
CHILDREN = """
import json, platform, subprocess, sys
ask = "import platform; print(platform.machine())"
found = [platform.machine()]
for words in ([sys.executable, "-c", ask], ["/bin/sh", "-c", "uname -m"], ["uname", "-m"]):
    found.append(subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip())
print(json.dumps(found))
"""
CONNECT = """
import socket
try:
    socket.create_connection(("192.0.2.1", 9), timeout=5)
except OSError as error:
    print(type(error).__name__, error.errno)
"""


def test_every_program_there_is_an_arm_one_whoever_starts_it(arm: ArmDevice) -> None:
    assert arm.run("uname -m") == "aarch64\n"
    assert arm.run("uname -m | cat; (uname -m)") == "aarch64\n" * 2
    assert json.loads(arm.run("exec python3 -", CHILDREN.encode())) == ["aarch64"] * 4
    assert "asimddp" in arm.run("cat /proc/cpuinfo")


def test_python_makes_an_environment_and_knows_itself_in_it(arm: ArmDevice) -> None:
    assert arm.run("python3 --version").startswith("Python 3.11.")
    arm.run("python3 -m venv --without-pip /tmp/made")
    ask = "import sys; print(sys.executable, sys.prefix)"
    assert arm.run(f"cd /tmp && made/bin/python -I -c '{ask}'").split() == ["/tmp/made/bin/python", "/tmp/made"]


def test_a_login_is_an_ordinary_user_s(arm: ArmDevice) -> None:
    assert arm.run("id -un; id -u; pwd").split() == ["arm", "1000", "/home/arm"]
    with pytest.raises(RuntimeError, match="Read-only file system"):
        arm.run("touch /usr/bin/other")
    with pytest.raises(RuntimeError, match="exit code 7"):
        arm.run("exit 7")


def test_there_is_no_network_there(arm: ArmDevice) -> None:
    assert arm.run("exec python3 -", CONNECT.encode()).startswith("OSError 101")


def test_a_terminal_is_one_there(arm: ArmDevice) -> None:
    command = ["ssh", "-F", str(arm.ssh_config), "-tt", arm.name, "python3 -c 'import os; print(os.ttyname(0))'"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)
    assert done.stdout.startswith(b"/dev/pts/")


def test_nothing_of_a_machine_stays(parts: Path) -> None:
    with arm_device(parts) as machine:
        machine.run("echo kept >file; sleep 1000 >/dev/null 2>&1 </dev/null &")
        assert machine.run("cat file") == "kept\n"
        state = machine.home.parent
        assert processes_of(state)
    assert not state.exists()
    last = time.monotonic() + 10
    while processes_of(state) and time.monotonic() < last:
        time.sleep(0.05)
    assert not processes_of(state)


def processes_of(state: Path) -> list[str]:
    """Those of this machine that were started with a path below a directory, or see it as a mount."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes() + (process / "mountinfo").read_bytes()
        except OSError:
            continue
        if str(state).encode() in said:
            found.append(process.name)
    return found
