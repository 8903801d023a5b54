"""What runs on a device for as long as something is done there. Its source is sent over: nothing need be installed.

It and `dmformer.devices.link` import the standard library alone and run on Python 3.7 and later, so that an old one is
told, not met as a traceback.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from signal import SIGKILL
from typing import Any

from dmformer.devices.link import GRACE_S, POLL_S, Link, RefusedError

CHUNK = 1 << 18
PARTIAL = ".partial"
OWN = ("environment", "store", "jobs", "cache")
"""Everything that is ever made in an agent's directory."""


class Agent(Link):
    """Does one thing after another, as it is told.

    Args:
        directory: Everything that it writes is below; a leading ``~`` is the user's home.
    """

    def __init__(self, directory: str) -> None:
        super().__init__()
        self.root = Path(os.path.abspath(Path(directory).expanduser()))  # noqa: PTH100 - links stay what they are
        self.own = [self.root / "jobs", self.root / "store", self.root]
        self.locks: list[int] = []
        self.has_turn = False

    def hello(self, message: dict[str, Any]) -> dict[str, Any]:
        """What this machine is, as far as it decides what can be installed and run."""
        environment = None
        with contextlib.suppress(OSError, ValueError):
            environment = json.loads((self.root / "environment" / "about.json").read_text())
        return {
            "python": list(sys.version_info[:3]),
            "executable": sys.executable,
            "system": platform.system(),
            "machine": platform.machine(),
            "libc": list(platform.libc_ver()),
            "directory": str(self.root),
            "time": time.time(),
            "environment": environment,
        }

    def fresh(self, name: str) -> Path:
        """An empty directory below one of that name, locked, and gone again unless it is renamed."""
        parent = self.root / name
        while True:
            parent.mkdir(0o700, parents=True, exist_ok=True)
            with self.working, contextlib.suppress(BlockingIOError, FileNotFoundError):
                sweep_dead(parent)
                path = Path(tempfile.mkdtemp(prefix=".", suffix=PARTIAL, dir=parent))
                self.unfinished.append(path)
                # Between the two another may have taken it for a dead one's.
                self.locks.append(locked(path))
                if path.is_dir():
                    return path

    def put(self, message: dict[str, Any]) -> dict[str, Any]:
        """Takes files, unless what has the same digest is here already."""
        home = self.root / "store" / message["key"]
        target = home / message["name"]
        if os.path.lexists(target):
            return {"path": str(target), "copied": False}
        partial = self.fresh("store")
        self.say({"is": "wanted"})
        for entry in message["files"]:
            self.take(partial / message["name"] / entry["path"], entry)
        with self.working:
            try:
                partial.rename(home)
            except OSError:
                if not os.path.lexists(target):  # else another put it here meanwhile
                    raise
        return {"path": str(target), "copied": True}

    def take(self, path: Path, entry: dict[str, Any]) -> None:
        """One file, of which everything is taken even where it cannot be written."""
        digest, left, failure = hashlib.sha256(), entry["bytes"], None
        with contextlib.ExitStack() as kept:
            try:
                file = kept.enter_context(self.opened(path))
            except OSError as error:
                failure = error
            while left:
                message, content = self.asked.get()
                if message["do"] != "data":
                    raise RefusedError("the rest of the files did not come")
                digest.update(content)
                left -= len(content)
                try:
                    failure or file.write(content)
                except OSError as error:
                    failure = error
        if failure is not None:
            raise RefusedError(told(failure, str(path)))
        if digest.hexdigest() != entry["sha256"]:
            raise RefusedError(f"{path}: changed on the way (SHA-256)")

    def opened(self, path: Path) -> Any:
        """A new file, of which no byte waits to be written."""
        with self.working:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("xb", buffering=0)

    def job(self, message: dict[str, Any]) -> dict[str, Any]:
        """An empty directory for what a command makes, gone with this agent."""
        return {"path": str(self.fresh("jobs"))}

    def run(self, message: dict[str, Any]) -> dict[str, Any]:
        """Starts a program and passes on what it says."""
        if message["exclusive"]:
            self.take_turn()
        environment = dict(os.environ, **message["environment"])
        streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        child = subprocess.Popen(  # noqa: S603 - what the user who logged in may run
            message["words"], env=environment, cwd="/", start_new_session=True, **streams
        )
        self.child = child
        outputs = ((child.stdout, "out"), (child.stderr, "err"))
        pumps = [threading.Thread(target=self.pump, args=output, daemon=True) for output in outputs]
        for pump in pumps:
            pump.start()
        with contextlib.suppress(OSError):
            stdin: Any = child.stdin
            stdin.write(message["input"].encode())
            stdin.close()
        code = child.wait()
        for pump in pumps:
            # Something that it left behind may hold its output open.
            pump.join(GRACE_S)
        self.signal(SIGKILL)
        self.child = None
        return {"code": code}

    def pump(self, stream: Any, name: str) -> None:
        """In a thread of its own: passes on lines as they come."""
        for line in iter(lambda: stream.readline(CHUNK), b""):
            self.say({"is": name}, line)

    def take_turn(self) -> None:
        """Waits until nothing else is measured on this machine, by whom ever: the lock is on what all can see.

        The turn lasts as long as this process.
        """
        waiting = False
        while not self.has_turn:
            try:
                self.locks.append(locked(Path("/tmp")))  # noqa: S108 - nothing is written there
                self.has_turn = True
            except BlockingIOError:
                if not waiting:
                    self.say({"is": "waiting"})
                waiting = True
                time.sleep(POLL_S)

    def fetch(self, message: dict[str, Any]) -> dict[str, Any]:
        """Gives a file, or all files of a directory."""
        top = Path(message["path"])
        for path in sorted(one for one in top.rglob("*") if one.is_file()) if top.is_dir() else [top]:
            with path.open("rb") as file:
                self.say({"is": "file", "path": "" if path == top else str(path.relative_to(top))})
                for content in iter(lambda file=file: file.read(CHUNK), b""):  # type: ignore[misc]
                    self.say({"is": "data"}, content)
        return {}

    def adopt(self, message: dict[str, Any]) -> dict[str, Any]:
        """Makes a finished directory the environment that commands run in."""
        target, replaced = self.root / "environment", Path(message["path"] + ".old" + PARTIAL)
        with self.working:
            self.unfinished.append(replaced)
            with contextlib.suppress(FileNotFoundError):
                target.rename(replaced)
            Path(message["path"]).rename(target)
        shutil.rmtree(replaced, ignore_errors=True)
        return {"path": str(target)}

    def remove(self, message: dict[str, Any]) -> dict[str, Any]:
        """Removes what was ever put here; the directory itself only where nothing else is in it."""
        there = False
        for name in OWN:
            path = self.root / name
            there |= path.is_dir()
            shutil.rmtree(path, ignore_errors=True)
            if os.path.lexists(path):
                raise RefusedError(f"{path}: something in it cannot be removed")
        with contextlib.suppress(OSError):
            self.root.rmdir()
        return {"removed": there, "path": str(self.root)}

    def serve(self) -> None:
        """Does what it is asked, for ever."""
        while True:
            message, _ = self.asked.get()
            try:
                # Anything else was on its way when something was refused.
                if message["do"] in ASKED:
                    self.say(dict(getattr(self, message["do"])(message), **{"is": "done"}))
            except RefusedError as refused:
                self.say({"is": "refused", "why": str(refused)})
            except OSError as error:
                self.say({"is": "refused", "why": told(error, "the file system")})


ASKED = ("hello", "put", "job", "run", "fetch", "adopt", "remove")


def sweep_dead(parent: Path) -> None:
    """Removes what agents left that were killed outright: nobody holds it."""
    for path in parent.glob(f".*{PARTIAL}"):
        with contextlib.suppress(OSError):
            held = locked(path)
            shutil.rmtree(path, ignore_errors=True)
            os.close(held)


def locked(path: Path) -> int:
    """Locks a directory: the lock ends with this process, however that ends.

    Raises:
        BlockingIOError: Another holds it.
    """
    import fcntl

    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def told(error: OSError, otherwise: str) -> str:
    """An error of the file system in words."""
    return f"{error.filename or otherwise}: {error.strerror or error}"


def main() -> None:
    """Serves whoever sent this, until the end."""
    first = json.loads(sys.stdin.buffer.readline().decode())
    agent = Agent(first["directory"])
    agent.start(first["mark"])
    agent.serve()
