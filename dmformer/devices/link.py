"""The device's end of a connection: messages, and the end of all that was begun once the connection is over.

Like `dmformer.devices.agent` its source is sent over: see there. Each message, either way, is a line of JSON, whose
``bytes`` says how many bytes follow it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

SILENCE_S, GRACE_S, POLL_S = 6.0, 2.5, 0.5
"""How long a living connection may be silent, and what was started may take to end by itself."""
LONGEST = 1 << 24
"""Of a line: it may list all files of a directory."""


class RefusedError(Exception):
    """What was asked cannot be done; the connection lives on."""


class Link:
    """Messages from and to whoever started this.

    Whatever ends the connection ends the work: when the input ends, or no message came for `SILENCE_S`, what was
    started is killed and what is unfinished is removed. Nothing here goes by the clock of the wall.
    """

    def __init__(self) -> None:
        self.input, self.output = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self.asked: queue.Queue[tuple[dict[str, Any], bytes]] = queue.Queue(16)
        self.heard, self.writing, self.working = time.monotonic(), threading.Lock(), threading.Lock()
        self.child: subprocess.Popen[bytes] | None = None
        self.unfinished: list[Path] = []
        self.own: list[Path] = []
        """Directories that go where nothing is in them."""

    def start(self, mark: str) -> None:
        """Greets with the mark that was sent first, behind what a login shell said, and listens from now on."""
        self.output.write(b"\n" + mark.encode() + b"\n")
        self.output.flush()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, self.end)
        for work in (self.listen, self.watch):
            threading.Thread(target=work, daemon=True).start()

    def say(self, message: dict[str, Any], content: bytes = b"") -> None:
        """Sends a message; where nobody takes it, all is over."""
        try:
            line = json.dumps(dict(message, bytes=len(content))).encode() + b"\n"
            with self.writing:
                self.output.write(line + content)
                self.output.flush()
        except (OSError, ValueError):
            self.end()

    def listen(self) -> None:
        """In a thread of its own: what must be heard at once is done at once."""
        try:
            while True:
                message = json.loads(self.input.readline(LONGEST).decode())
                content = self.input.read(message["bytes"])
                self.heard = time.monotonic()
                if message["do"] == "stop":
                    self.signal(signal.SIGINT)
                elif message["do"] != "beat":
                    self.asked.put((message, content))
        finally:
            self.end()

    def watch(self) -> None:
        """In a thread of its own: ends everything once nobody is heard any more."""
        while time.monotonic() - self.heard < SILENCE_S:
            time.sleep(POLL_S)
        self.end()

    def signal(self, number: int) -> None:
        """To what was started, and all of its group."""
        child = self.child
        if child is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, number)

    def end(self, *signalled: Any) -> None:
        """Ends this process and all that it began; any thread may, and a signal does."""
        try:
            self.stop_child()
            # Held until the end, so that nothing is made anew behind the broom.
            self.working.acquire(timeout=GRACE_S)
            for path in self.unfinished:
                shutil.rmtree(path, ignore_errors=True)
            for path in self.own:
                with contextlib.suppress(OSError):
                    path.rmdir()
        finally:
            os._exit(1)

    def stop_child(self) -> None:
        """Asks what was started to end, and then makes it."""
        child, deadline = self.child, time.monotonic() + GRACE_S
        self.signal(signal.SIGTERM)
        while child is not None and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        self.signal(signal.SIGKILL)
