"""An emulated aarch64 machine behind a real sshd on loopback.

It needs neither root, nor QEMU or a service in the system: the kernel (Linux 6.7 and later) takes an emulator for
foreign programs in a user namespace of one's own. A login ends up inside these namespaces: every program there,
whoever starts it, is an aarch64 one, emulated, and there is no network. Logins are an ordinary user's; only the home
directory, ``/tmp`` and ``/dev/shm`` can be written to, and they are new each time.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.arm.caching import alone
from tests.arm.root import CPU, HOME, USER, UnsuitableError, emulator_of, root_of

BOOT = Path(__file__).with_name("boot.sh")
HOST, NAME = "127.0.0.1", "emulated-arm"
START_S = 20.0
ENVIRONMENT = {
    "HOME": HOME,
    "USER": USER,
    "LOGNAME": USER,
    "SHELL": "/bin/sh",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "QEMU_CPU": CPU,
}
LOGIN = """#!/bin/sh
# What sshd runs for every login, whatever it asks for.
enter() {{
  exec env -i {environment} ${{TERM:+TERM="$TERM"}} \\
    nsenter --target {pid} --user --mount --pid --net --uts --preserve-credentials \\
    unshare --user --map-user=1000 --map-group=1000 --root {root} --wd {home} -- /bin/sh "$@"
}}
if [ "${{SSH_ORIGINAL_COMMAND+set}}" ]; then enter -c "$SSH_ORIGINAL_COMMAND"; else enter -l; fi
"""
SERVER = """
ListenAddress {host}
Port {port}
HostKey {state}/host_key
AuthorizedKeysFile {state}/client_key.pub
ForceCommand {login}
AuthenticationMethods publickey
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile none
AllowTcpForwarding no
MaxStartups 100
MaxSessions 100
"""
CLIENT = """
Host {name}
  HostName {host}
  Port {port}
  User {user}
  IdentityFile "{identity}"
  IdentitiesOnly yes
  UserKnownHostsFile "{known_hosts}"
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
"""


@dataclass(frozen=True)
class ArmDevice:
    """A running machine.

    Attributes:
        host: Its address; ``port`` that of its sshd, ``user`` the account there, ``identity`` the private key's file.
        known_hosts: Holds its host key.
        ssh_config: Says all of this to ssh, which then knows it as ``name``.
        root: Its file system, seen from here; ``home`` the directory that is its user's home.
    """

    host: str
    port: int
    user: str
    identity: Path
    known_hosts: Path
    ssh_config: Path
    root: Path
    home: Path
    name: str = NAME

    def run(self, script: str, content: bytes | IO[bytes] = b"", timeout: float = 300.0) -> str:
        """Runs a script of its shell by ssh, and gives what that wrote to stdout.

        Args:
            script: As its ``/bin/sh -c`` takes it.
            content: Its stdin, bytes or a file.
            timeout: Seconds.

        Raises:
            RuntimeError: It did not end with 0.
        """
        command = ["ssh", "-F", str(self.ssh_config), "-T", self.name, script]
        with contextlib.ExitStack() as stack:
            if isinstance(content, bytes):
                given, content = content, stack.enter_context(tempfile.TemporaryFile())
                content.write(given)
                content.seek(0)
            done = subprocess.run(command, stdin=content, capture_output=True, timeout=timeout, check=False)
        if done.returncode:
            said = (done.stdout[-4000:] + done.stderr[-4000:]).decode(errors="replace")
            raise RuntimeError(f"{script}: exit code {done.returncode}\n{said}")
        return done.stdout.decode()


@contextlib.contextmanager
def arm_device(parts: Path) -> Iterator[ArmDevice]:
    """A machine, for as long as the context is open. Where this process is killed, all of the machine ends too.

    Args:
        parts: A directory of cached parts; the first use takes half a minute and 100 MB from a mirror of Debian.

    Raises:
        UnsuitableError: This machine does not allow it; one line says why.
    """
    require_programs()
    with alone(parts):
        root, emulator = root_of(parts), emulator_of(parts)
    with contextlib.ExitStack() as stack:
        state = Path(tempfile.mkdtemp(prefix="running-", dir=parts))
        stack.callback(shutil.rmtree, state, ignore_errors=True)
        pid = _boot(stack, state, root, emulator)
        yield _serve(stack, state, root, pid)


def require_programs() -> None:
    """Raises `UnsuitableError` where a program of the system is missing."""
    programs = {"ssh": "openssh-client", "sshd": "openssh-server", "unshare": "util-linux", "nsenter": "util-linux"}
    if missing := sorted({package for program, package in programs.items() if _which(program) is None}):
        raise UnsuitableError(f"needs programs that are not here: apt-get install {' '.join(missing)}")


def _which(program: str) -> str | None:
    """Its path, as sshd wants its own; a user's PATH holds no ``/usr/sbin``."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


def _boot(stack: contextlib.ExitStack, state: Path, root: Path, emulator: Path) -> int:
    """Starts the machine's first process, and gives its process id here."""
    home, temporary = state / "home", state / "tmp"
    home.mkdir()
    temporary.mkdir()
    temporary.chmod(0o1777)
    namespaces = ["--user", "--map-root-user", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child"]
    words: list[str | Path] = ["unshare", *namespaces, "sh", BOOT, root, emulator, home, temporary]
    pipe = subprocess.PIPE
    process = stack.enter_context(subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise AssertionError
    # It ends as its input does.
    stack.callback(process.stdin.close)
    line = process.stdout.readline()
    if not line:
        problem = process.stderr.read().strip().replace("\n", "; ")
        raise UnsuitableError(f"needs user namespaces with binfmt_misc of their own, of Linux 6.7 and later: {problem}")
    return int(line)


def _serve(stack: contextlib.ExitStack, state: Path, root: Path, pid: int) -> ArmDevice:
    """Starts an sshd whose logins enter the namespaces of a process."""
    for name in ("host_key", "client_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", state / name], check=True)
    login, port = state / "login", _free_port()
    environment = shlex.join(f"{name}={value}" for name, value in ENVIRONMENT.items())
    login.write_text(LOGIN.format(environment=environment, pid=pid, root=shlex.quote(str(root)), home=HOME))
    login.chmod(0o755)
    server = SERVER.format(host=HOST, port=port, state=state, login=shlex.quote(str(login)))
    (state / "sshd_config").write_text(server)
    known_hosts = state / "known_hosts"
    known_hosts.write_text(f"[{HOST}]:{port} {(state / 'host_key.pub').read_text()}")
    device = ArmDevice(
        host=HOST,
        port=port,
        user=pwd.getpwuid(os.geteuid()).pw_name,
        identity=state / "client_key",
        known_hosts=known_hosts,
        ssh_config=state / "ssh_config",
        root=root,
        home=state / "home",
    )
    device.ssh_config.write_text(CLIENT.format(**vars(device)))
    _start_sshd(stack, state, port)
    return device


def _start_sshd(stack: contextlib.ExitStack, state: Path, port: int) -> None:
    if os.geteuid() == 0:
        # Where sshd's own start-up script would make it.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    log = state / "sshd.log"
    words: list[str | Path] = ["setpriv", "--pdeathsig", "TERM", str(_which("sshd")), "-D"]
    words += ["-f", state / "sshd_config", "-E", log]
    server = stack.enter_context(subprocess.Popen(words, stdin=subprocess.DEVNULL))
    stack.callback(_end, server)
    last = time.monotonic() + START_S
    while time.monotonic() < last and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.05)
    said = log.read_text().strip().replace("\n", "; ") if log.exists() else "it says nothing"
    raise UnsuitableError(f"sshd does not start: {said}")


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ends an sshd, and the connections that are open: those it would leave."""
    connections = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    for pid in [server.pid, *(connections.read_text().split() if connections.exists() else ())]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
