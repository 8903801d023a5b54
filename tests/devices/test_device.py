"""Words are run, directories put and files fetched alike over ssh and here, whatever the login shell."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmformer.devices.content import content_of
from dmformer.devices.device import Device, driver_of
from dmformer.devices.resource import Resource
from dmformer.errors import DeviceError
from tests.devices.sshd import SHELLS, Served, served
from tests.support import snapshot

ODD = ("it's", 'a "word"', "$HOME `id` \\ ! * ~", "", "two\nlines", "émoji \N{SNOWMAN}")


@pytest.fixture(scope="module", params=("local", *SHELLS))
def resource(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Resource]:
    if request.param == "local":
        yield Resource(directory=str(tmp_path_factory.mktemp("a 'device'")))
        return
    with served(request.param) as one:
        yield one.resource.model_copy(update={"directory": "~/a \"directory\" of 'ours'"})


@pytest.fixture
def connected(resource: Resource) -> Iterator[Device]:
    with Device(driver_of("board", resource)) as device:
        yield device


def heard(device: Device, *words: str, text: str = "", **environment: str) -> tuple[int, str, str]:
    said = {"out": b"", "err": b""}

    def hear(stream: str, line: bytes) -> None:
        said[stream] += line

    ended = device.run(words, text, hear, environment)
    return ended.code, said["out"].decode(), said["err"].decode()


def test_words_arrive_as_they_are(connected: Device) -> None:
    program = "import json, os, sys; json.dump([sys.argv[1:], sys.stdin.read(), os.environ['ODD']], sys.stdout)"
    python = connected.facts.executable
    code, out, err = heard(connected, python, "-c", program, *ODD, text="".join(ODD), ODD=ODD[2])
    assert (code, err) == (0, "")
    import json

    assert json.loads(out) == [list(ODD), "".join(ODD), ODD[2]]
    assert heard(connected, "/bin/sh", "-c", "echo a; echo b >&2; exit 3") == (3, "a\n", "b\n")
    with pytest.raises(DeviceError, match="no-such-program: No such file"):
        connected.run(["/no-such-program"])
    assert heard(connected, "/bin/echo", "still here")[1] == "still here\n"


def test_content_is_copied_once_and_comes_back_whole(connected: Device, tmp_path: Path) -> None:
    source = tmp_path / 'it\'s a "folder"'
    (source / "deep er").mkdir(parents=True)
    (source / "deep er" / "large").write_bytes(os.urandom(1 << 20))
    (source / "empty").touch()
    (source / "link").symlink_to(source / "empty")
    place, copied = connected.put(content_of(source))
    assert copied and place.endswith(source.name)
    assert connected.put(content_of(source)) == (place, False)
    connected.fetch(place, tmp_path / "back")
    assert snapshot(tmp_path / "back") == snapshot(source)
    (source / "empty").write_text("no more")
    assert connected.put(content_of(source))[1]
    single, _ = connected.put(content_of(source / "empty"))
    connected.fetch(single, tmp_path / "one")
    assert (tmp_path / "one" / "empty").read_text() == "no more"


def test_a_job_is_gone_with_the_connection(resource: Resource) -> None:
    with Device(driver_of("board", resource)) as device:
        job = device.job()
        device.run(["/bin/sh", "-c", 'echo made > "$1/file"', "sh", job])
        assert heard(device, "/bin/cat", f"{job}/file")[1] == "made\n"
    with Device(driver_of("board", resource)) as device:
        assert heard(device, "/bin/ls", job)[0] != 0


def test_everything_is_removed(resource: Resource, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Device(driver_of("board", resource)) as device:
        device.put(content_of(tmp_path))
        assert device.remove() == (device.facts.directory, True)
        assert device.remove() == (device.facts.directory, False)
        assert heard(device, "/bin/ls", device.facts.directory)[0] != 0
        (tmp_path / "mine").touch()
        device.put(content_of(tmp_path))
        device.run(["/bin/sh", "-c", 'echo mine > "$1/file"', "sh", device.facts.directory])
        device.remove()
        assert heard(device, "/bin/ls", "-A", device.facts.directory)[1] == "file\n", "what is not ours stays"
        device.run(["/bin/rm", "-r", device.facts.directory])


def test_two_do_not_measure_at_once(resource: Resource) -> None:
    notes: list[str] = []

    class Watch:
        def say(self, message: str) -> None:
            notes.append(message)
            first.close()

        def track(self, items: object, description: str, total: int) -> object:
            return iter(())

    first = Device(driver_of("first", resource))
    first.run(["/bin/true"], exclusive=True)
    with Device(driver_of("second", resource), Watch()) as second:  # type: ignore[arg-type]
        assert second.run(["/bin/true"], exclusive=True).code == 0
    assert notes == ["waiting: something else is being measured there"]


def test_no_python_there_is_said(device: Served) -> None:
    for python in ("/no/such python", "no-such-python"):
        resource = device.resource.model_copy(update={"python": python})
        with pytest.raises(DeviceError, match="there is no Python at") as caught:
            Device(driver_of("board", resource))
        assert "python = '...' in devices.toml" in str(caught.value.hint)
