"""Devices behind the system's own OpenSSH: the user's configuration, jump hosts, agents and hardware keys just work.

One master connection a device stays open for a minute after its last use, so that the next command need not log in
again. Host keys are checked as the user's configuration says, and never less.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dmformer.devices.resource import Resource
from dmformer.devices.wire import LOGIN
from dmformer.errors import DeviceError, MissingBackendError
from dmformer.texts import one_line

CONNECT_S, PERSIST_S = 10, 60
LOGIN_S = 120.0
"""How long a login may take in which a person is asked."""
ALIVE = ("-o", "ServerAliveInterval=3", "-o", "ServerAliveCountMax=3")
"""A connection that is cut is known as such after nine seconds."""
LONGEST_SOCKET = 85
"""Of a socket's name, to which OpenSSH adds seventeen characters: the system takes 104 to 108."""


class Ssh:
    """Starts agents over ssh.

    Args:
        name: What messages call the device.
        resource: Where it is.
        accept_new: Take the host key of a machine that was never seen before; a changed one is refused all the same.
    """

    def __init__(self, name: str, resource: Resource, accept_new: bool = False) -> None:
        self.name, self.resource, self._accept_new = name, resource, accept_new
        program = shutil.which("ssh")
        if program is None:
            raise MissingBackendError("there is no ssh on this machine", "install OpenSSH's client: openssh-client")
        self._program = program

    def connect(self) -> None:
        """Logs in, unless a connection is open already; ssh asks its own questions on the terminal, if there is one.

        Raises:
            DeviceError: It cannot; says why, and how to mend it.
        """
        socket = self._socket()
        with _alone(socket.with_suffix(".lock")), tempfile.TemporaryFile(prefix="dmformer-") as said:
            if self._is_open(socket):
                return
            # Its file would keep a new master from listening.
            socket.unlink(missing_ok=True)
            command = [*self._ssh(), "-M", "-N", "-f", "-o", f"ControlPersist={PERSIST_S}", "--", self._host]
            try:
                code = subprocess.run(  # noqa: S603 - ssh; no word of it begins with a dash but ours
                    command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False, timeout=LOGIN_S
                ).returncode
            except subprocess.TimeoutExpired:
                code = 255
            said.seek(0)
            text = said.read(1 << 16).decode(errors="replace")
        if code:
            raise self.why(255, text) or DeviceError(f"{self.name}: {one_line(text) or 'ssh cannot connect'}")

    def command(self) -> list[str]:
        """Starts the agent through the open connection, or through one of its own where that is gone."""
        return [*self._ssh(), "-T", "--", self._host, LOGIN]

    def why(self, code: int | None, said: str) -> DeviceError | None:
        """What ssh means by what it said, where it is ssh that failed."""
        if code != 255:
            return None
        where = f"{self.name} ({self.resource.address})" if self.name != self.resource.address else self.name
        for pattern, what, hint in REASONS:
            if re.search(pattern, said, re.IGNORECASE):
                return DeviceError(f"{where}: {what}", hint.format(host=self._known_as, name=self.name, **self._files))
        lines = [line for line in said.splitlines() if line.strip()]
        return DeviceError(
            f"{where}: {one_line(lines[-1]) if lines else 'the connection ended before it began'}",
            f"try: ssh {self.resource.login}",
        )

    @property
    def _host(self) -> str:
        return str(self.resource.host)

    @property
    def _known_as(self) -> str:
        """What ``known_hosts`` calls it."""
        return f"[{self._host}]:{self.resource.port}" if self.resource.port not in (None, 22) else self._host

    @property
    def _files(self) -> dict[str, str]:
        return {
            "identity": self.resource.identity or "~/.ssh/id_ed25519",
            "address": self.resource.address,
            "login": self.resource.login,
        }

    def _ssh(self) -> list[str]:
        one = self.resource
        words = [self._program, "-S", str(self._socket()), "-o", f"ConnectTimeout={CONNECT_S}", *ALIVE]
        words += ["-F", str(Path(one.config).expanduser())] if one.config else []
        words += ["-l", one.user] if one.user else []
        words += ["-p", str(one.port)] if one.port else []
        if one.identity:
            words += ["-i", str(Path(one.identity).expanduser()), "-o", "IdentitiesOnly=yes"]
        if self._accept_new:
            words += ["-o", "StrictHostKeyChecking=accept-new"]
        return words if sys.stdin.isatty() else [*words, "-o", "BatchMode=yes"]

    def _is_open(self, socket: Path) -> bool:
        if not socket.exists():
            return False
        command = [*self._ssh(), "-O", "check", "--", self._host]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603
        return done.returncode == 0

    def _socket(self) -> Path:
        facts = self.resource.model_dump_json(include={"host", "user", "port", "identity", "config"})
        return socket_directory() / hashlib.sha256(facts.encode()).hexdigest()[:16]


REASONS = (
    (
        r"HOST IDENTIFICATION HAS CHANGED|host key for .* has changed",
        "its host key has changed: it is another machine, or was set up anew, or somebody is in between",
        "find out which; if it was set up anew: ssh-keygen -R '{host}', then connect once with: ssh {login}",
    ),
    (
        r"Host key verification failed|No .* host key is known",
        "its host key is not known here yet",
        "connect once with: ssh {login}; or add it with: dmformer device add NAME {address} --accept-new",
    ),
    (
        r"UNPROTECTED PRIVATE KEY|bad permissions",
        "others may read the private key",
        "chmod 600 {identity}",
    ),
    (
        r"Permission denied|Too many authentication failures",
        "it does not let us in: the key or the password is wrong",
        "try: ssh {login}; put your key there with: ssh-copy-id {login}",
    ),
    (
        r"Could not resolve hostname",
        "there is no host of this name",
        "look at its spelling, or give its address",
    ),
    (
        r"timed out|Operation timed out|not responding",
        "it does not answer",
        "is it on, and in this network? try: ssh {login}",
    ),
    (
        r"Connection refused",
        "nothing listens there",
        "does it run an SSH server, and on this port?",
    ),
    (r"No route to host|Network is unreachable", "there is no way to it", "is it on, and in this network?"),
)
"""What ssh says, what that means, and how to mend it."""


def socket_directory() -> Path:
    """A directory of this user alone, with a name short enough for a socket in it.

    Raises:
        DeviceError: Somebody else made it.
    """
    places = (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp")  # noqa: S108 - checked below
    names = [Path(place) / f"dmformer-{os.getuid()}" for place in places if place]
    directory = next(name for name in names if len(str(name)) < LONGEST_SOCKET - 16 and name.parent.is_dir())
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    status = directory.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or directory.is_symlink():
        raise DeviceError(f"{directory}: others may look into it", f"remove it: rm -r {directory}")
    return directory


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One login to a device at a time: a second master would never end."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
