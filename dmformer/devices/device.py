"""A device: words are run there, directories put there and files fetched from there, whatever is in between.

The terms are labgrid's: a `Resource` says where it is, a `Driver` how it is reached (`Local`, `Ssh`), and what can be
done with it is the same for all.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any, Protocol

from pydantic import ValidationError

from dmformer.devices.content import Content
from dmformer.devices.facts import Facts
from dmformer.devices.local import Local
from dmformer.devices.resource import Resource
from dmformer.devices.wire import Wire
from dmformer.errors import DeviceError, MissingBackendError
from dmformer.progress import Progress, Silent
from dmformer.texts import first_problem, one_line

CHUNK = 1 << 18
MAX_FETCHED = 1 << 34
"""Bytes that are taken back from a device."""
Heard = Callable[[str, bytes], None]
"""Is told each line that a program says there, and whether on ``out`` or ``err``."""


class Driver(Protocol):
    """How a device is reached."""

    name: str
    resource: Resource

    def connect(self) -> None:
        """Makes sure that it can be; raises `DeviceError` where not."""

    def command(self) -> list[str]:
        """Starts `dmformer.devices.wire.LOGIN` on the device."""

    def why(self, code: int | None, said: str) -> DeviceError | None:
        """What it means that this command ended with a code, having said something, where the driver knows."""


def driver_of(name: str, resource: Resource, accept_new: bool = False) -> Driver:
    """The driver of a device.

    Raises:
        MissingBackendError: There is no ssh here that could.
    """
    if os.name == "nt":
        raise MissingBackendError("Windows' OpenSSH cannot share a connection (ControlMaster)", "run dmformer in WSL")
    if resource.host is None:
        return Local(name, resource)
    from dmformer.devices.ssh import Ssh

    return Ssh(name, resource, accept_new)


@dataclass(frozen=True)
class Ended:
    """A program that ran there.

    Attributes:
        code: Its exit code; below zero the signal that ended it.
        tail: The end of what it said on its standard error.
    """

    code: int
    tail: str


class Device:
    """A connected device. A context manager: at its end nothing of ours runs there any more.

    Args:
        driver: How it is reached.
        progress: Watches what takes long.

    Raises:
        DeviceError: It cannot be reached, or has no Python.
    """

    def __init__(self, driver: Driver, progress: Progress | None = None) -> None:
        self.name, self._driver, self._progress = driver.name, driver, progress or Silent()
        self._doing = "connecting"
        driver.connect()
        resource = driver.resource
        self.is_here = resource.host is None
        self._wire = Wire(self.name, driver.command(), resource.python, resource.directory)
        try:
            self._greet()
            self.facts = self._hello()
        except BaseException:
            self._wire.close()
            raise

    def run(
        self,
        words: Sequence[str],
        text: str = "",
        heard: Heard | None = None,
        environment: dict[str, str] | None = None,
        exclusive: bool = False,
        doing: str = "running",
    ) -> Ended:
        """Runs a program there. Ctrl-C ends it there first.

        Args:
            words: The program and its arguments, as they are: no shell reads them.
            text: Its standard input.
            heard: Is told what it says.
            environment: Over what the login gives.
            exclusive: Wait until nothing else is measured there.
            doing: What an error says was being done.

        Raises:
            DeviceError: It could not be started, or the connection was lost.
        """
        self._doing, tail = doing, b""
        ask = {"do": "run", "words": list(words), "input": text, "exclusive": exclusive}
        self._wire.send({**ask, "environment": environment or {}})
        try:
            while True:
                message, content = self._receive()
                if message["is"] == "done":
                    return Ended(_whole(message.get("code")), one_line(tail.decode(errors="replace")))
                if message["is"] == "waiting":
                    self._progress.say("waiting: something else is being measured there")
                elif message["is"] == "err":
                    tail = (tail + content)[-2000:]
                if heard is not None and message["is"] in ("out", "err"):
                    heard(message["is"], content)
        except KeyboardInterrupt:
            self._wire.send({"do": "stop"})
            raise

    def put(self, content: Content) -> tuple[str, bool]:
        """Puts a file or directory there, unless the same is there already.

        Returns:
            Its path there, and whether anything was copied.

        Raises:
            DeviceError: No room, or the connection was lost.
        """
        self._doing = f"copying {content.name}"
        files = [{"path": e.path, "bytes": e.bytes, "sha256": e.sha256} for e in content.entries]
        self._wire.send({"do": "put", "key": content.key, "name": content.name, "files": files})
        message, _ = self._receive()
        if message["is"] == "wanted":
            steps = max(1, -(-content.bytes // CHUNK))
            for _ in self._progress.track(self._copied(content), f"copying {content.name}", steps):
                pass
            message, _ = self._receive()
        return str(message.get("path")), bool(message.get("copied"))

    def _copied(self, content: Content) -> Iterator[None]:
        for entry in content.entries:
            with entry.source.open("rb") as file:
                left = entry.bytes
                while left:
                    piece = file.read(min(CHUNK, left))
                    if not piece:
                        raise DeviceError(f"{entry.source}: was changed while it was copied", "run it again")
                    left -= len(piece)
                    self._wire.send({"do": "data"}, piece)
                    yield

    def job(self) -> str:
        """An empty directory there, gone at the end of this connection."""
        return str(self._ask("job").get("path"))

    def fetch(self, path: str, into: Path) -> None:
        """Brings what is below a directory there, or one file, into a directory here.

        Raises:
            DeviceError: It is not there, does not stay inside ``into``, or the connection was lost.
            OutputError: It cannot be written here.
        """
        self._doing = "fetching what was made"
        self._wire.send({"do": "fetch", "path": path})
        total = 0
        with contextlib.ExitStack() as kept:
            file: IO[bytes] | None = None
            while True:
                message, content = self._receive()
                if message["is"] == "done":
                    return
                if message["is"] == "file":
                    kept.close()
                    file = kept.enter_context(_inside(into, str(message.get("path", "")) or PurePosixPath(path).name))
                total += len(content)
                if file is None or total > MAX_FETCHED:
                    raise DeviceError(f"{self.name}: sends what was not asked for")
                file.write(content)

    def adopt(self, path: str) -> str:
        """Makes a finished directory there the environment that commands run in; its path."""
        return str(self._ask("adopt", path=path).get("path"))

    def remove(self) -> tuple[str, bool]:
        """Removes everything that was ever put there; its directory, and whether it was there."""
        message = self._ask("remove")
        return str(message.get("path")), bool(message.get("removed"))

    def _ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        self._wire.send({"do": do, **arguments})
        return self._receive()[0]

    def _hello(self) -> Facts:
        message = self._ask("hello")
        try:
            return Facts.model_validate({key: message[key] for key in Facts.model_fields})
        except (KeyError, ValidationError) as error:
            problem = first_problem(error) if isinstance(error, ValidationError) else f"no {error}"
            raise DeviceError(f"{self.name}: describes itself in a way that cannot be ({problem})") from error

    def _greet(self) -> None:
        try:
            self._wire.greeted()
        except queue.Empty:
            raise DeviceError(
                f"{self.name}: let us in, but started nothing", "does its login shell wait for something?"
            ) from None
        except EOFError:
            raise self._lost() from None

    def _receive(self) -> tuple[dict[str, Any], bytes]:
        try:
            message, content = self._wire.receive()
        except EOFError:
            raise self._lost() from None
        if not isinstance(message.get("is"), str):
            raise DeviceError(f"{self.name}: answers in a way that is none of ours")
        return message, content

    def _lost(self) -> DeviceError:
        """Why nothing is heard any more."""
        code, said = self._wire.code(), self._wire.tail()
        python = self._driver.resource.python
        if code == 127:
            return DeviceError(
                f"{self.name}: there is no Python at {shlex.quote(python)}",
                "name one with: python = '...' in devices.toml; Debian and Ubuntu: apt install python3",
            )
        if self._doing == "connecting" and (why := self._driver.why(code, said)) is not None:
            return why
        if self._doing == "connecting" and "SyntaxError" in said:
            return DeviceError(f"{self.name}: the Python at {shlex.quote(python)} is too old", "dmformer needs 3.10")
        last = one_line(said.strip().splitlines()[-1]) if said.strip() else ""
        return DeviceError(
            f"{self.name}: the connection was lost while {self._doing}" + (f" ({last})" if last else ""),
            "run it again; what was unfinished there is removed by itself",
        )

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends what runs there; any thread may, again and again."""
        self._wire.close()


def _whole(value: object) -> int:
    """An exit code that a device gave."""
    return value if isinstance(value, int) else -1


def _inside(into: Path, name: str) -> IO[bytes]:
    """A new file below a directory, for a name that a device gave.

    Raises:
        DeviceError: It would lie elsewhere.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name or "\0" in name:
        raise DeviceError(f"a device names a file {one_line(name)[:80]!r}, which would lie elsewhere")
    target = into / path
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.open("xb")
