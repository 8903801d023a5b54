"""This side of a connection: a process whose other end is `dmformer.devices.agent`, and messages to and from it."""

from __future__ import annotations

import contextlib
import json
import queue
import secrets
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any, cast

from dmformer.devices import agent, link
from dmformer.errors import DeviceError
from dmformer.texts import one_line

BEAT_S = 1.5
"""How often a connection shows that it lives: see `dmformer.devices.link.SILENCE_S`."""
ANSWER_S = 30.0
"""How long a device may take from the login to the first word of the agent."""
CARRY = """
import sys, types
def carry(sources):
    for name, source in sources.items():
        module = sys.modules[name] = types.ModuleType(name)
        exec(source, module.__dict__)
    module.main()
"""
"""Makes modules there of sources from here, and starts the last."""
MAX_LINE, MAX_BYTES, MAX_GREETING = 1 << 20, 1 << 20, 1 << 22
"""Of one message, of what follows it, and of what a login shell says before all."""
TAIL = 4000
LOGIN = (
    "exec /bin/sh -c 'IFS= read -r python; "
    'case "$python" in "~/"*) python="$HOME/${python#??}";; esac; '
    'exec "$python" -I -u -c "import sys; r = sys.stdin.buffer; exec(r.read(int(r.readline())))"\''
)
"""What a device is told: the same for all, and read alike by sh, bash, zsh, csh and fish. All else is data."""


def greeting(python: str, directory: str, mark: str) -> bytes:
    """What the program in `LOGIN` reads first: the interpreter, the agent's source, and what it starts with."""
    sources = {module.__name__: Path(str(module.__file__)).read_text(encoding="utf-8") for module in (link, agent)}
    source = f"{CARRY}\ncarry({sources!r})\n".encode()
    first = json.dumps({"directory": directory, "mark": mark})
    return b"%s\n%d\n%s%s\n" % (python.encode(), len(source), source, first.encode())


class Wire:
    """A connection to an agent. Once it is closed the agent ends, and what it left unfinished is gone.

    Args:
        name: What messages call the device.
        command: Starts a program whose standard input and output are the agent's.
        python: The interpreter there.
        directory: The agent's.
    """

    def __init__(self, name: str, command: list[str], python: str, directory: str) -> None:
        self.name = name
        self._said: IO[bytes] = tempfile.TemporaryFile(prefix="dmformer-")  # noqa: SIM115 - closed with the wire
        self._process = subprocess.Popen(  # noqa: S603 - ssh, or our own interpreter
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            # Ctrl-C is this process's to handle.
            start_new_session=True,
        )
        self._input, self._output = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        self._answers: queue.Queue[tuple[dict[str, Any], bytes] | None] = queue.Queue(64)
        self._writing, self._reading, self._over = threading.Lock(), threading.Lock(), threading.Event()
        self._tail, self._is_greeted = "", False
        self._mark = secrets.token_hex(16)
        self._write(greeting(python, directory, self._mark))
        for work in (self._read, self._beat):
            threading.Thread(target=work, daemon=True).start()

    def greeted(self) -> None:
        """Waits until the agent speaks.

        Raises:
            queue.Empty: It took longer than anybody waits.
            EOFError: It never will.
        """
        if self._answers.get(timeout=ANSWER_S) is None:
            raise EOFError

    def send(self, message: dict[str, Any], content: bytes = b"") -> None:
        """Sends a message; where nobody takes it, `receive` tells."""
        self._write(json.dumps({**message, "bytes": len(content)}).encode() + b"\n" + content)

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """The next message.

        Raises:
            EOFError: The connection is over.
            DeviceError: What was asked was refused; the reason.
        """
        answer = self._answers.get()
        if answer is None:
            self._answers.put(None)
            raise EOFError
        if answer[0].get("is") == "refused":
            raise DeviceError(f"{self.name}: {one_line(str(answer[0].get('why')))}")
        return answer

    def tail(self) -> str:
        """The end of what ssh, or the interpreter there, said on its standard error."""
        with self._reading:
            if not self._said.closed:
                self._said.seek(0)
                self._tail = self._said.read().decode(errors="replace")[-TAIL:]
        return self._tail

    def code(self) -> int | None:
        """The exit code of the process here, once it is over."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(1)
        return None

    def _write(self, content: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ValueError), self._writing:
            self._input.write(content)
            self._input.flush()

    def _beat(self) -> None:
        while not self._over.wait(BEAT_S):
            self.send({"do": "beat"})

    def _read(self) -> None:
        try:
            self._is_greeted = self._find_mark()
            if self._is_greeted:
                self._answers.put(({}, b""))
                while True:
                    line = self._output.readline(MAX_LINE)
                    message = json.loads(line) if line.endswith(b"\n") else {"bytes": -1}
                    size = message["bytes"]
                    if not (isinstance(size, int) and 0 <= size <= MAX_BYTES):
                        break
                    self._answers.put((message, self._output.read(size)))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass  # whatever it says now is nothing of ours
        finally:
            self._answers.put(None)

    def _find_mark(self) -> bool:
        """Skips what a login shell says."""
        heard = 0
        for line in iter(lambda: self._output.readline(MAX_LINE), b""):
            heard += len(line)
            if line == self._mark.encode() + b"\n":
                return True
            if heard > MAX_GREETING:
                break
        return False

    def close(self) -> None:
        """Ends the agent, which ends what it started; any thread may, again and again."""
        self._over.set()
        deadline = time.monotonic() + (link.GRACE_S * 2 if self._is_greeted else 0)
        with contextlib.suppress(OSError):
            self._input.close()
        # The reader may wait for room.
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                self._answers.get(timeout=0.02)
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(queue.Full):
            self._answers.put_nowait(None)
        self.tail()
        with self._reading:
            self._said.close()
        with contextlib.suppress(OSError):
            self._output.close()
