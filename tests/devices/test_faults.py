"""What goes wrong between two machines: each is one line, nothing runs on, nothing half-written stays."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dmformer.devices import ssh
from dmformer.devices.content import content_of
from dmformer.devices.device import Device, driver_of
from dmformer.devices.resource import Resource
from dmformer.devices.wire import LOGIN
from dmformer.errors import DeviceError
from dmformer.pipeline.building import for_device
from dmformer.pipeline.requests import BuildOptions
from dmformer.pipeline.travelling import Errand, travel
from dmformer.progress import Silent
from tests.conftest import Exported
from tests.devices.conftest import NAME, Written
from tests.devices.sshd import PYTHON, SSHD, Served, served
from tests.support import finish, invoke, one_line, partials, start

ENDS_S = 10.0
"""How soon nothing of ours may run there any more."""
Capture = pytest.CaptureFixture[str]


def eventually(true: Callable[[], bool], seconds: float = ENDS_S) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_clean(one: Served) -> bool:
    """Nothing of ours runs there, and nothing is there but what is whole."""
    own = [line for line in one.processes() if "python" in line]
    return not own and not list(one.home.rglob("*.partial"))


@pytest.fixture
def fresh() -> Iterator[Served]:
    with served() as one:
        yield one


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(96 << 20))
    return path


def test_a_connection_that_is_cut_while_copying(fresh: Served, large: Path) -> None:
    def cut_soon() -> None:
        assert eventually(lambda: bool(list(fresh.home.rglob("large"))))
        fresh.cut()

    with Device(driver_of(NAME, fresh.resource)) as device:
        cut = threading.Thread(target=cut_soon)
        cut.start()
        with pytest.raises(DeviceError, match="the connection was lost while copying large"):
            device.put(content_of(large))
        cut.join()
    assert eventually(lambda: is_clean(fresh)), fresh.processes()
    with Device(driver_of(NAME, fresh.resource)) as device:
        assert device.put(content_of(large))[1], "and then it goes through"


@pytest.mark.parametrize("end", ["cut", "agent killed", "terminated"])
def test_a_connection_that_is_cut_while_something_runs(fresh: Served, end: str) -> None:
    program = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    with Device(driver_of(NAME, fresh.resource)) as device:
        job = device.job()
        Path(job, "unfinished").touch() if os.getuid() == 0 else None

        def stop() -> None:
            assert eventually(lambda: sum("time.sleep(60)" in line for line in fresh.processes()) >= 2)
            if end == "cut":
                fresh.cut()
            else:
                number = "-9" if end == "agent killed" else "-15"
                subprocess.run(["pkill", number, "-u", fresh.user, "-f", "sys.stdin.buffer"], check=False)

        worker = threading.Thread(target=stop)
        worker.start()
        with pytest.raises(DeviceError, match="the connection was lost while measuring"):
            device.run([PYTHON, "-c", program + "time.sleep(60)"], exclusive=True, doing="measuring")
        worker.join()
    if end == "agent killed":
        # Nobody is left there to clean up: the next one does.
        subprocess.run(["pkill", "-9", "-u", fresh.user, "-f", "time.sleep"], check=False)
        with Device(driver_of(NAME, fresh.resource)) as device:
            device.job()
    assert eventually(lambda: is_clean(fresh)), fresh.processes()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_client_that_ends_takes_all_with_it(
    ready: Served, exported: Exported, written: Written, number: signal.Signals, tmp_path: Path
) -> None:
    written(board=ready.resource)
    process = start(
        "bench", exported("onnxruntime"), "--on", "board", "--duration", "60", "-o", tmp_path / "bench.json"
    )
    assert eventually(lambda: any("dmformer.devices.there" in line for line in ready.processes()), 60)
    time.sleep(0.5)
    process.send_signal(number)
    done = finish(process)
    expected = {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}
    assert done.returncode == expected[number], done.stderr
    if number is not signal.SIGKILL:
        assert "stopped; nothing unfinished was left behind" in one_line(done.stderr)
    assert eventually(lambda: is_clean(ready)), ready.processes()
    assert not (tmp_path / "bench.json").exists() and not partials(tmp_path)


def test_a_build_that_is_cut_leaves_nothing_there_or_here(
    exported: Exported, written: Written, tmp_path: Path, capsys: Capture
) -> None:
    """By the agent on this machine, which has NVIDIA's builder: it is killed in the middle."""
    place = tmp_path / "device"
    written()

    def agents(*words: str) -> bool:
        ours = ["-P", str(os.getpid()), "-f", "sys.stdin.buffer"]
        return subprocess.run([*words, *ours], capture_output=True, check=False).returncode == 0

    def cut() -> None:
        assert eventually(lambda: bool(list(place.glob("jobs/.*.partial/.built.*"))), 60)
        assert agents("pkill", "-9")

    resource = Resource(python=sys.executable, directory=str(place))
    request = for_device(BuildOptions(exported("tensorrt-rtx"), output=tmp_path / "built"))
    worker = threading.Thread(target=cut)
    with Device(driver_of(NAME, resource)) as device:
        worker.start()
        with pytest.raises(DeviceError, match="the connection was lost while measuring"):
            travel(device, Errand("dmformer.pipeline.building:build", request, ("output",), measures=True), Silent())
        worker.join()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["device", "devices.toml"]
    with Device(driver_of(NAME, resource)) as device:
        device.job()
        assert len(list(place.rglob("*.partial"))) == 1, "the next one clears what nobody could"


def test_a_full_disk_there_is_said_and_left_as_it_was(fresh: Served, large: Path, disk: Callable[[int], Path]) -> None:
    place = disk(20 << 10)
    place.chmod(0o777)
    for parent in place.parents:
        if parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o111)
    resource = fresh.resource.model_copy(update={"directory": str(place / "device")})
    with Device(driver_of(NAME, resource)) as device:
        with pytest.raises(DeviceError, match="large: No space left on device"):
            device.put(content_of(large))
        assert device.run(["/bin/true"]).code == 0, "the connection lives on"
    assert not [path for path in place.rglob("*") if path.is_file()]


def test_a_host_key_that_changed_is_refused_with_the_way_out(fresh: Served, written: Written, capsys: Capture) -> None:
    known = fresh.folder / "known"
    other = fresh.folder / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    port = fresh.resource.port
    known.write_text(f"[127.0.0.1]:{port} {other.with_suffix('.pub').read_text()}")
    written(board=fresh.resource)
    code, _, err = invoke(capsys, "doctor", "--on", "board")
    assert code == 2 and "its host key has changed" in one_line(err)
    assert f"ssh-keygen -R '[127.0.0.1]:{port}'" in err
    known.write_text("")
    code, _, err = invoke(capsys, "doctor", "--on", "board")
    assert code == 2 and "its host key is not known here yet" in one_line(err) and "--accept-new" in err
    words = ("--identity", str(fresh.resource.identity), "--ssh-config", str(fresh.resource.config))
    code, _, err = invoke(capsys, "device", "add", "new", fresh.resource.address, *words, "--accept-new")
    assert code == 0 and "127.0.0.1" in known.read_text(), err
    assert "StrictHostKeyChecking=no" not in Path(ssh.__file__).read_text().replace("accept-new", "")


def test_a_wrong_key_and_one_that_others_may_read(
    fresh: Served, written: Written, tmp_path: Path, capsys: Capture
) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    written(board=fresh.resource.model_copy(update={"identity": str(key)}))
    code, _, err = invoke(capsys, "doctor", "--on", "board")
    assert code == 2 and "the key or the password is wrong" in one_line(err) and "ssh-copy-id" in err
    key.chmod(0o644)
    code, _, err = invoke(capsys, "doctor", "--on", "board")
    assert code == 2 and "others may read the private key" in one_line(err) and f"chmod 600 {key}" in err


def test_a_host_that_does_not_answer_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "CONNECT_S", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        resource = Resource(host="127.0.0.1", user="nobody", port=silent.getsockname()[1])
        before = time.monotonic()
        with pytest.raises(DeviceError, match="it does not answer"):
            Device(driver_of(NAME, resource))
        assert time.monotonic() - before < 10


def test_a_clock_that_is_wrong_is_told_and_harms_nothing(
    ready: Served, exported: Exported, labelled: Path, written: Written, capsys: Capture
) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("no faketime here: apt-get install faketime")
    late = ready.folder / "late"
    late.write_text(f'#!/bin/sh\nexec /usr/bin/faketime -f +10m {PYTHON} "$@"\n')
    late.chmod(0o755)
    written(board=ready.resource.model_copy(update={"python": str(late)}))
    code, out, err = invoke(capsys, "device", "check", "board", "--json")
    assert code == 0, err
    assert "its clock is 10 min ahead" in json.loads(out)["devices"]["board"]["notes"]
    code, _, err = invoke(capsys, "verify", exported("onnxruntime"), "--data", labelled, "--on", "board")
    assert code == 0, err


def answering(folder: Path, program: str) -> Resource:
    """A device whose Python is a program that says what we never would."""
    python = folder / "python"
    python.write_text(f"#!{PYTHON}\nimport json, sys\n{program}")
    python.chmod(0o755)
    return Resource(python=str(python), directory=str(folder / "device"))


GREETED = """
source = sys.stdin.buffer
source.read(int(source.readline()))
mark = json.loads(source.readline())["mark"]
say = lambda text: (sys.stdout.write(text), sys.stdout.flush())
say("\\n" + mark + "\\n")
"""


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("sys.exit('nothing to see')", "the connection was lost while connecting"),
        ("print('x' * 10 ** 7)", "the connection was lost"),
        (GREETED + "say('no json\\n')", "the connection was lost"),
        (GREETED + "say(json.dumps({'is': 'done', 'bytes': 10 ** 12}) + '\\n')", "the connection was lost"),
        (GREETED + "say(json.dumps({'is': 'done', 'bytes': 0}) + '\\n')", "describes itself in a way that cannot be"),
        (GREETED + "say('[' * 10 ** 5 + '\\n')", "the connection was lost"),
        (GREETED + "say(json.dumps({'is': 'refused', 'why': 'a\\x1b[2J' * 999, 'bytes': 0}) + '\\n')", "board: a"),
    ],
)
def test_what_a_hostile_device_answers_is_refused(tmp_path: Path, program: str, said: str) -> None:
    with pytest.raises(DeviceError) as caught:
        Device(driver_of(NAME, answering(tmp_path, program)))
    assert said in caught.value.message and "\x1b" not in caught.value.message and len(caught.value.message) < 2000


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/../../out", "\0", "."])
def test_a_hostile_device_writes_nowhere_else(tmp_path: Path, name: str) -> None:
    facts = {
        "python": [3, 11, 2], "executable": "x", "system": "Linux", "machine": "x86_64", "libc": ["glibc", "2.36"],
        "directory": "x", "time": 0, "environment": None, "is": "done", "bytes": 0,
    }  # fmt: skip
    program = GREETED + f"say(json.dumps({facts!r}) + '\\n')\n"
    program += f"say(json.dumps({{'is': 'file', 'path': {name!r}, 'bytes': 0}}) + '\\n'); sys.stdin.read()"
    (tmp_path / "inside").mkdir()
    hostile = driver_of(NAME, answering(tmp_path, program))
    with Device(hostile) as device, pytest.raises(DeviceError, match="would lie elsewhere"):
        device.fetch("/x", tmp_path / "inside")
    assert not list((tmp_path / "inside").iterdir()) and not (tmp_path / "out").exists()


def test_latency_and_loss_change_nothing(fresh: Served, tmp_path: Path) -> None:
    """In a network of its own, in which sshd is started anew."""
    shape = "ip link set lo up && tc qdisc add dev lo root netem delay 40ms loss 2%"
    tried = subprocess.run(["unshare", "-n", "/bin/sh", "-c", shape], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no netem here: {(tried.stderr.strip().splitlines() or ['tc fails'])[-1]}")
    content = tmp_path / "content"
    content.write_bytes(os.urandom(1 << 20))
    server = (
        f"setpriv --reuid {fresh.user} --regid {fresh.user} --clear-groups {SSHD} -f {fresh.folder}/own/sshd_config"
    )
    code = f"""
from pathlib import Path
from dmformer.devices.content import content_of
from dmformer.devices.device import Device, driver_of
from dmformer.devices.resource import Resource
with Device(driver_of("board", Resource.model_validate_json({fresh.resource.model_dump_json()!r}))) as device:
    print(device.put(content_of(Path({str(content)!r})))[1], device.run(["/bin/true"]).code)
"""
    words = ["unshare", "-n", "/bin/sh", "-c", f'{shape} && {server} && sleep 0.5 && exec "$@"', "sh"]
    done = subprocess.run([*words, sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "True 0\n", done.stderr


def test_the_login_line_is_read_alike_by_every_shell() -> None:
    """It holds nothing that any of them treats in its own way: see their manuals on quoting."""
    inner = LOGIN.partition("'")[2].rpartition("'")[0]
    assert f"exec /bin/sh -c '{inner}'" == LOGIN
    assert not {"'", "\\", "!", "\n", "`"} & set(inner)
