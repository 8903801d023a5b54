"""A headless Chromium, told what to do over its DevTools protocol through a pipe, and a server of static files."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.preprocessing import load_image

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE = 300
"""Seconds that one step in the browser may take on a busy machine."""
FIRST_FREE = 10
"""File descriptors below it are left alone: the browser expects its pipe at 3 and 4."""


class BrowserError(AssertionError):
    """What the browser said went wrong."""


class Browser:
    """One process of Chromium, at the other end of two pipes; `browser` starts it."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._unread = b""
        self._last = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its result; events that come meanwhile are kept."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self._write(json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._last:
            self.events.append(answer)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        return dict(answer["result"])

    def wait(self, method: str, session: str) -> None:
        """Returns when an event has come, or came since the last call of `forget`."""
        while not any((event.get("method"), event.get("sessionId")) == (method, session) for event in self.events):
            self.events.append(self._read())

    def forget(self) -> None:
        self.events.clear()

    @contextmanager
    def page(self, address: str) -> Iterator[Page]:
        """A tab, which is closed in the end."""
        page = self.open(address)
        try:
            yield page
        finally:
            page.close()

    def open(self, address: str) -> Page:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        page = Page(self, self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"], target)
        for domain in ("Page", "Runtime", "Network", "DOM"):
            page.call(f"{domain}.enable")
        page.go(address)
        return page

    def pages(self) -> list[int]:
        """The ids of the processes that pages live in."""
        processes = self.call("SystemInfo.getProcessInfo")["processInfo"]
        return [process["id"] for process in processes if process["type"] == "renderer"]

    def _write(self, message: bytes) -> None:
        while message:
            message = message[os.write(self._commands, message) :]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            if not select.select([self._answers], [], [], PATIENCE)[0]:
                raise BrowserError(f"no answer in {PATIENCE} s")
            received = os.read(self._answers, 1 << 20)
            if not received:
                raise BrowserError("the browser ended")
            self._unread += received
        message, _, self._unread = self._unread.partition(b"\0")
        return dict(json.loads(message))


class Page:
    """One tab."""

    def __init__(self, owner: Browser, session: str, target: str) -> None:
        self._browser, self._session, self._target = owner, session, target

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def go(self, address: str) -> None:
        """Opens an address, and waits until it and its modules have been loaded."""
        self._browser.forget()
        self.call("Page.navigate", url=address)
        self._browser.wait("Page.loadEventFired", self._session)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, which must be JSON's; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Returns when a JavaScript expression is true; it is looked at now and then."""
        self.evaluate(
            "new Promise((done) => { const look = () => "
            f"({condition}) ? done() : setTimeout(look, 10); look(); }})"
        )  # fmt: skip

    def give_file(self, selector: str, path: Path) -> None:
        """As if a person had chosen the file in the dialog of an ``<input type="file">``."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def press(self, key: str, code: int) -> None:
        """A key, by its name and Windows' number of it."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def show(self, width: int, height: int, dark: bool) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def wait(self, event: str) -> None:
        """Returns when an event of the protocol has come since the page was opened."""
        self._browser.wait(event, self._session)

    def pixels(self) -> NDArray[np.uint8]:
        """A screenshot."""
        return load_image(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def requested(self) -> list[str]:
        """The addresses that were asked for since the page was opened."""
        self.evaluate("0")
        sent = (event for event in self._browser.events if event.get("method") == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in sent if event["sessionId"] == self._session]

    def close(self) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)


@contextmanager
def browser(*flags: str) -> Iterator[Browser]:
    """Starts a browser with a profile of its own, in a path that is short: sockets in long ones abort it."""
    (read_commands, write_commands), (read_answers, write_answers) = _pipe(), _pipe()
    with tempfile.TemporaryDirectory(prefix="dmf", dir="/tmp", ignore_cleanup_errors=True) as short:
        script = f'exec "$@" 3<&{read_commands} 4>&{write_answers}'
        process = subprocess.Popen(
            ["bash", "-c", script, "bash", CHROMIUM or "", *FLAGS, *flags, f"--user-data-dir={short}/profile"],
            pass_fds=(read_commands, write_answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": short},
        )
        os.close(read_commands)
        os.close(write_answers)
        try:
            yield Browser(write_commands, read_answers)
        finally:
            # Without its pipe the browser ends, with all its processes.
            os.close(write_commands)
            os.close(read_answers)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _pipe() -> tuple[int, int]:
    made = []
    for low in os.pipe():
        made.append(fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE))
        os.close(low)
    return made[0], made[1]


@contextmanager
def served(folder: Path, headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """Serves a folder as any server of static files would; its address, which ends in a slash."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def end_headers(self) -> None:
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
