"""The devices that the user has named: ``devices.toml``, in the user's configuration directory."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError

from dmformer.devices.resource import NAME, Resource, check_identity, parse_address
from dmformer.errors import UsageError
from dmformer.files import write_atomically
from dmformer.reading import parse_toml, read_toml
from dmformer.texts import first_problem, plain

MAX_BYTES = 1 << 20
VARIABLE = "DMFORMER_DEVICES"
"""Of the environment: another file than the user's."""
SECRETS = ("password", "passphrase", "passwd", "secret", "token")
LOCAL = "local"
"""This machine, to stand beside the others in a table."""
ALL, TAG = "all", "tag:"


def devices_file() -> Path:
    """Where the devices are written down; it need not exist."""
    import platformdirs

    named = os.environ.get(VARIABLE)
    return Path(named) if named else platformdirs.user_config_path("dmformer", appauthor=False) / "devices.toml"


def read_inventory(path: Path | None = None) -> dict[str, Resource]:
    """The devices by their names.

    Raises:
        UsageError: The file cannot be read, or says something that cannot be; the message names file and key.
    """
    path = path or devices_file()
    try:
        document = read_toml(path, MAX_BYTES)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(
            f"{path}: is no TOML ({error})", "write one with: dmformer device add NAME user@host"
        ) from error
    if strangers := document.keys() - {"device"}:
        raise UsageError(f"{path}: there is no key {min(strangers)[:80]!r}", "a device begins with [device.NAME]")
    table = document.get("device", {})
    if not isinstance(table, dict):
        raise UsageError(f"{path}: device is no table", "a device begins with [device.NAME]")
    return {name: _resource(path, name, entry) for name, entry in table.items()}


def _resource(path: Path, name: str, entry: object) -> Resource:
    check_name(name)
    if not isinstance(entry, dict) or "host" not in entry:
        raise UsageError(f"{path}: device {name} has no host", 'write, below its name: host = "..."')
    for key in entry:
        if key in SECRETS:
            raise UsageError(
                f"{path}: device {name} holds a {key}", "remove it, and let ssh use a key: identity = '~/.ssh/...'"
            )
        if key not in Resource.model_fields:
            closest = get_close_matches(key, Resource.model_fields, 1, cutoff=0)
            raise UsageError(f"{path}: device {name}: there is no key {key[:80]!r}", f"the closest is {closest[0]}")
    try:
        return Resource(**entry)
    except ValidationError as error:
        raise UsageError(f"{path}: device {name}: {first_problem(error)}") from error


def check_name(name: str) -> None:
    """Refuses a name that has a meaning, or that cannot be typed after ``--on``.

    Raises:
        UsageError: Says so.
    """
    if name in (ALL, LOCAL) or not re.match(NAME, name):
        raise UsageError(
            f"a device cannot be called {plain(name, 80)!r}", "letters, digits, dots and dashes; not 'all' or 'local'"
        )


def chosen(words: Iterable[str], known: Mapping[str, Resource]) -> dict[str, Resource]:
    """The devices that ``--on`` names, each once: names, ``user@host``, ``all``, ``tag:NAME`` and ``local``.

    Raises:
        UsageError: There is none of such a name (the closest is told), or nobody may read its key but its owner.
    """
    devices: dict[str, Resource] = {}
    for word in words:
        devices |= _meant(word, known)
    for name, resource in devices.items():
        check_identity(name, resource)
    return devices


def is_group(word: str) -> bool:
    """Whether a word stands for as many devices as there are."""
    return word == ALL or word.startswith(TAG)


def _meant(word: str, known: Mapping[str, Resource]) -> dict[str, Resource]:
    if word in known:
        return {word: known[word]}
    if word == LOCAL:
        return {LOCAL: Resource(python=sys.executable)}
    if is_group(word):
        tag = word.removeprefix(TAG)
        devices = {name: one for name, one in known.items() if word == ALL or tag in one.tags}
        if not devices:
            what = "no device is known" if word == ALL else f"no device has the tag {plain(tag, 80)!r}"
            raise UsageError(what, "add one with: dmformer device add NAME user@host --tag TAG")
        return devices
    address = parse_address(word)
    if address is not None:
        return {word: address}
    closest = get_close_matches(word, known, 1, cutoff=0)
    hint = f"the closest name is {closest[0]}" if closest else "dmformer device add NAME user@host, or --on user@host"
    raise UsageError(f"there is no device {plain(word, 80)!r}", hint)


def add(name: str, resource: Resource, path: Path | None = None) -> Path:
    """Writes a device down, behind those that are there.

    Raises:
        UsageError: There is one of that name, or the file holds something that cannot be.
        OSError: It cannot be written.
    """
    path = path or devices_file()
    check_name(name)
    if name in read_inventory(path):
        raise UsageError(f"there is a device {name} already", f"dmformer device remove {name}, or choose another name")
    check_identity(name, resource)
    text = path.read_text() if path.exists() else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (text.rstrip() + "\n\n" + block(name, resource)).lstrip().encode())
    return path


def block(name: str, resource: Resource) -> str:
    """A device as TOML: what differs from the defaults."""
    said = resource.model_dump(exclude_defaults=True, mode="json")
    # Texts hold no control characters, so that what JSON writes is TOML's too.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in said.items()]
    return "\n".join([f'[device."{name}"]', *lines]) + "\n"


def forget(name: str, path: Path | None = None) -> None:
    """Takes a device's lines out of the file, and leaves every other, comments too.

    Raises:
        UsageError: There is none of that name, or it is written in a way that only its author can undo.
        OSError: It cannot be written.
    """
    path = path or devices_file()
    known = read_inventory(path)
    if name not in known:
        raise UsageError(f"{path}: there is no device {plain(name, 80)!r}")
    header = re.compile(
        rf"""^\[\s*device\s*\.\s*(["']?){re.escape(name)}\1\s*\][^\n]*\n(?:(?!\[)[^\n]*(?:\n|\Z))*""", re.M
    )
    text = header.sub("", path.read_text(), count=1)
    if parse_toml(text).get("device", {}).keys() != known.keys() - {name}:
        raise UsageError(f"{path}: device {name} is not a table of its own", f"remove it from {path} by hand")
    write_atomically(path, text.encode())
