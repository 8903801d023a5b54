"""``devices.toml``: what it may say, what is refused with file and key, and what is left of it after a removal."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomllib

from dmformer.devices.inventory import add, chosen, devices_file, forget, read_inventory
from dmformer.devices.resource import Resource, parse_address
from dmformer.errors import UsageError
from tests.support import Command, invoke

Capture = pytest.CaptureFixture[str]
WRITTEN = """# Mine.
[device.jetson]
host = "10.0.0.7" # in the laboratory
user = "nvidia"
tags = ["jetson", "orin"]

# The one on the window sill.
[device."pi-5"]
host = "pi"
directory = "/data/it's \\"here\\""

[device.nuc]
host = "nuc"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "devices.toml"
    path.write_text(WRITTEN)
    monkeypatch.setenv("DMFORMER_DEVICES", str(path))
    return path


def test_devices_are_read_and_chosen(file: Path) -> None:
    known = read_inventory()
    assert known["pi-5"] == Resource(host="pi", directory='/data/it\'s "here"')
    assert list(chosen(["tag:orin", "nuc", "jetson"], known)) == ["jetson", "nuc"]
    assert list(chosen(["all"], known)) == ["jetson", "pi-5", "nuc"]
    assert chosen(["me@10.1.1.1:2200"], known)["me@10.1.1.1:2200"].port == 2200
    with pytest.raises(UsageError, match="no device 'jetsno'") as caught:
        chosen(["jetsno"], known)
    assert caught.value.hint == "the closest name is jetson"
    with pytest.raises(UsageError, match="no device has the tag 'cloud'"):
        chosen(["tag:cloud"], known)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[devices.a]\nhost = 'a'", "there is no key 'devices'"),
        ("device = 3", "device is no table"),
        ("[device.a]\nuser = 'a'", "device a has no host"),
        ("[device.a]\nhost = 'a'\nhots = 1", "device a: there is no key 'hots'"),
        ("[device.a]\nhost = 'a'\npassword = 'hunter2'", "device a holds a password"),
        ("[device.a]\nhost = 'a'\nport = 0", "device a: port"),
        ("[device.a]\nhost = '-oProxyCommand=x'", "device a: host"),
        ('[device.a]\nhost = "a"\npython = "a\\u0007"', "device a: python"),
        ("[device.a]\nhost = 'a'\ntags = ['a b']", "device a: tags"),
        ("[device.all]\nhost = 'a'", "a device cannot be called 'all'"),
        ("[device.'-x']\nhost = 'a'", "a device cannot be called '-x'"),
        ("[device.a", "is no TOML"),
        ("x = " + "[" * 100_000, "is no TOML"),
        ("\xff", "there is no key"),
    ],
)
def test_what_cannot_be_is_refused_with_file_and_key(file: Path, text: str, said: str, capsys: Capture) -> None:
    file.write_text(text, encoding="latin-1")
    code, _, err = invoke(capsys, "device", "list")
    assert code == 2 and "hunter2" not in err
    assert said in err or "is no TOML" in err


def test_a_key_that_others_may_read_is_refused(file: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("secret")
    key.chmod(0o640)
    with pytest.raises(UsageError, match="others may read the private key"):
        add("board", Resource(host="board", identity=str(key)))
    assert file.read_text() == WRITTEN
    with pytest.raises(UsageError, match="there is no key"):
        chosen(["board"], {"board": Resource(host="board", identity=str(tmp_path / "none"))})


@pytest.mark.parametrize("name", ["jetson", "pi-5", "nuc"])
def test_a_removal_leaves_every_other_line(file: Path, name: str) -> None:
    forget(name)
    left = file.read_text()
    assert {*WRITTEN.splitlines()} - {*left.splitlines()} <= {*lines_of(name)}
    assert list(tomllib.loads(left)["device"]) == [one for one in ("jetson", "pi-5", "nuc") if one != name]
    for other in list(read_inventory()):
        forget(other)
    assert read_inventory() == {}


def lines_of(name: str) -> list[str]:
    start = next(index for index, line in enumerate(WRITTEN.splitlines()) if name in line and line.startswith("["))
    return [*WRITTEN.splitlines()[start : start + 4], "# The one on the window sill.", ""]


def test_what_was_not_written_by_a_table_of_its_own_is_left(file: Path) -> None:
    file.write_text('device = {a = {host = "a"}, b = {host = "b"}}\n')
    with pytest.raises(UsageError, match="is not a table of its own"):
        forget("a")
    assert list(read_inventory()) == ["a", "b"]


def test_a_device_is_added_listed_and_forgotten(file: Path, command: Command, capsys: Capture) -> None:
    command("device", "add", "new", "me@[fe80::1]:2222", "--tag", "arm,pi", "--python", "/opt/it's/python3.11")
    added = read_inventory()["new"]
    assert (added.host, added.user, added.port, added.tags) == ("fe80::1", "me", 2222, ("arm", "pi"))
    assert added.python == "/opt/it's/python3.11" and file.read_text().startswith(WRITTEN.rstrip())
    assert "me@fe80::1:2222" in command("device", "list")[1]
    code, _, err = invoke(capsys, "device", "add", "new", "x@y")
    assert code == 2 and "there is a device new already" in err
    command("device", "remove", "new", "--forget")
    assert "new" not in read_inventory()
    code, _, err = invoke(capsys, "device", "remove", "nuc", "--forget", "--keep")
    assert code == 2 and "exclude each other" in err


@pytest.mark.parametrize(
    "text", ["me@", "@host", "me:secret@host", "ssh://me:secret@host", "me@ho st", "me@host:99999"]
)
def test_what_is_no_address_is_refused_and_no_password_repeated(text: str) -> None:
    with pytest.raises(UsageError, match="no address of a device") as caught:
        parse_address(text)
    assert "secret" not in str(caught.value)


def test_the_file_is_where_users_keep_such_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DMFORMER_DEVICES", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert devices_file() == tmp_path / "dmformer" / "devices.toml"
    assert read_inventory() == {}
