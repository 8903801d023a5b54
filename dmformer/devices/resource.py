"""Where a device is, and how it is reached: what ``devices.toml`` says of it, or ``user@host``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from dmformer.devices.defaults import DIRECTORY
from dmformer.errors import UsageError
from dmformer.fields import Strict
from dmformer.texts import is_plain

WORDS = re.compile(r"(?:(?P<user>[^@:/\s]+)@)(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^@:/\[\]\s]+)(?::(?P<port>\d{1,5}))?")
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


def _word(text: str) -> str:
    if not is_plain(text) or text.startswith("-"):
        raise ValueError("begins with a dash, or holds control characters")
    return text


Word = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_word)]
"""Something that is handed to ssh: it may be no option."""
Place = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_word)]


class Resource(Strict):
    """One device.

    Attributes:
        host: Name or address, or an alias in the user's own ``~/.ssh/config``; None is this machine.
        user: Who logs in; None leaves that to OpenSSH, likewise ``port``, ``identity`` (a private key's file) and
            ``config`` (in place of ``~/.ssh/config``).
        python: The interpreter there: a name in its PATH, or a path.
        directory: Where everything that is written there lies.
        tags: Groups that it is of: ``--on tag:jetson``.
    """

    host: Word | None = None
    user: Word | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    identity: Place | None = None
    config: Place | None = None
    python: Place = "python3"
    directory: Place = DIRECTORY
    tags: tuple[Annotated[str, Field(pattern=NAME)], ...] = ()

    @property
    def address(self) -> str:
        """For people, and for hints that can be typed."""
        if self.host is None:
            return "this machine"
        host = f"{self.user}@{self.host}" if self.user else self.host
        return f"{host}:{self.port}" if self.port else host

    @property
    def login(self) -> str:
        """What is typed behind ``ssh``."""
        port = f"-p {self.port} " if self.port else ""
        return f"{port}{self.user}@{self.host}" if self.user else f"{port}{self.host}"


def parse_address(text: str) -> Resource | None:
    """A device from ``user@host`` or ``user@host:port``; None where it is no address but a name.

    Raises:
        UsageError: It is neither; a password in it is not repeated.
    """
    if "@" not in text:
        return None
    match = WORDS.fullmatch(text)
    if match is None or text.startswith("-") or int(match["port"] or 22) not in range(1, 65536):
        shown = f"...@{text.rpartition('@')[2]}"[:80]
        raise UsageError(
            f"{shown!r} is no address of a device", "write user@host or user@host:port; passwords are never part of it"
        )
    return Resource(
        host=match["host"].strip("[]"), user=match["user"], port=int(match["port"]) if match["port"] else None
    )


def check_identity(name: str, resource: Resource) -> None:
    """Refuses a private key that others may read, as ssh does, before anything is tried.

    Raises:
        UsageError: It is not there, or others may read it.
    """
    if resource.identity is None:
        return
    path = Path(resource.identity).expanduser()
    if not path.is_file():
        raise UsageError(f"{name}: there is no key {path}", "name another with: identity = '...' in devices.toml")
    if path.stat().st_mode & 0o077:
        raise UsageError(f"{name}: others may read the private key {path}", f"chmod 600 {path}")
