"""A device on this machine: OpenSSH's own sshd, run by an unprivileged user with keys and a home of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dmformer.devices.resource import Resource

SSHD = "/usr/sbin/sshd"
PYTHON = "/usr/bin/python3"
LOUD = """#!/bin/bash
printf 'Welcome!\\n\\033[31mred\\033[0m, and no line end'
echo "to standard error too" >&2
exec /bin/bash "$@"
"""
SHELLS = {"sh": "/bin/sh", "fish": "/usr/bin/fish", "csh": "/usr/bin/tcsh", "loud": "loud"}
"""Login shells; ``loud`` prints a banner in colours, and then is bash."""


@dataclass(frozen=True)
class Served:
    """A running sshd.

    Attributes:
        resource: How it is reached.
        folder: Its keys and, below ``home``, the user's home.
        user: The user that it runs as, and that logs in.
        server: Its process.
    """

    resource: Resource
    folder: Path
    user: str
    server: subprocess.Popen[bytes]

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def processes(self) -> list[str]:
        """What runs as that user, but the server itself and what it has for a connection."""
        listed = subprocess.run(
            ["ps", "-ww", "-o", "args=", "-u", self.user], capture_output=True, text=True, check=False
        )
        return [line for line in listed.stdout.splitlines() if line.strip() and not line.startswith(("sshd:", SSHD))]

    def cut(self) -> None:
        """Ends every connection from its side, at once, and nothing else."""
        subprocess.run(["pkill", "-9", "-u", self.user, "-f", f"^sshd: {self.user}"], check=False)


def lacking(shell: str = "sh") -> str | None:
    """Why there can be no such device here; None where there can."""
    if os.getuid() != 0:
        return "making an unprivileged user needs root"
    if not Path(SSHD).exists():
        return "no sshd here: apt-get install openssh-server"
    if not Path(PYTHON).exists():
        return f"no {PYTHON} that any user may run"
    program = SHELLS[shell]
    return None if program == "loud" or Path(program).exists() else f"no {program} here"


@contextlib.contextmanager
def served(shell: str = "sh") -> Iterator[Served]:
    """Starts a device; at the end it, its user and all its files are gone. Skips where there can be none."""
    if why := lacking(shell):
        pytest.skip(why)
    # pytest's own folders let nobody else in, and sshd trusts no key below one that all may write.
    folder = Path(tempfile.mkdtemp(prefix="dmformer-sshd-", dir="/home"))
    folder.chmod(0o755)
    user = f"dm{folder.name[-8:].lower()}"
    program = SHELLS[shell]
    if program == "loud":
        program = str(folder / "loud")
        Path(program).write_text(LOUD)
        Path(program).chmod(0o755)
    try:
        subprocess.run(["useradd", "-M", "-d", str(folder / "home"), "-s", program, user], check=True)
        subprocess.run(["usermod", "-p", "*", user], check=True)
        server, port = start(folder, user)
        resource = Resource(
            host="127.0.0.1", user=user, port=port, identity=str(folder / "client"), config=str(folder / "config"),
            python=PYTHON,
        )  # fmt: skip
        try:
            yield Served(resource, folder, user, server)
        finally:
            server.kill()
            server.wait()
    finally:
        subprocess.run(["pkill", "-9", "-u", user], check=False)
        subprocess.run(["userdel", "-f", user], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def start(folder: Path, user: str) -> tuple[subprocess.Popen[bytes], int]:
    """Keys, configuration and the server; its port."""
    about, port = pwd.getpwnam(user), free_port()
    home, own = folder / "home", folder / "own"
    for place in (home, own):
        place.mkdir(mode=0o700)
    for key in (folder / "client", own / "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (own / "authorized").write_text((folder / "client.pub").read_text())
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(own / 'host.pub').read_text()}")
    (folder / "config").write_text(
        f"Host *\n  UserKnownHostsFile {folder / 'known'}\n  GlobalKnownHostsFile /dev/null\n"
    )
    lines = (f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {own / 'host'}", "PidFile none", "UsePAM no",
             "PasswordAuthentication no", f"AuthorizedKeysFile {own / 'authorized'}", "MaxStartups 100")  # fmt: skip
    (own / "sshd_config").write_text("\n".join(lines) + "\n")
    for place in (home, own, *own.iterdir()):
        os.chown(place, about.pw_uid, about.pw_gid)
    command = [SSHD, "-D", "-e", "-f", str(own / "sshd_config")]
    log = (folder / "log").open("wb")
    server = subprocess.Popen(
        command, user=about.pw_uid, group=about.pw_gid, extra_groups=[], stderr=log, stdin=subprocess.DEVNULL, cwd="/"
    )
    log.close()
    deadline = time.monotonic() + 20
    while b"listening" not in (folder / "log").read_bytes():
        assert server.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.02)
    return server, port


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
