"""docs/embed-web.md: its commands are run as they are written, and the addresses that it gives are opened."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.embedding.browser import Browser
from tests.embedding.documents import blocks_of, examples_of, run_page
from tests.support import PATIENCE, ROOT

PAGE = ROOT / "docs" / "embed-web.md"
PORT = "8000"


def run_example() -> str:
    """The page's JavaScript as one expression: its code on a picture, and then how many guesses there are."""
    (example,) = examples_of(PAGE, "js")
    code, imports = re.subn(r"import \{ (\w+) \} from (.*?);", r"const { \1 } = await import(\2);", example)
    assert imports == 1
    picture = (
        "const canvas = new OffscreenCanvas(40, 30); canvas.getContext('2d').fillRect(0, 0, 9, 9);"
        "const file = await canvas.convertToBlob();"
    )
    return f"(async () => {{ {picture} {code}\n return guesses.length; }})()"


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def wait_for_server(port: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                return
        time.sleep(0.05)
    pytest.fail("the server never came up")


@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm here: .ci/system-packages installs it")
def test_every_command_of_the_page_works(chromium: Browser, tmp_path: Path) -> None:
    port = free_port()
    text = PAGE.read_text()
    (server,) = (block.commands for block in blocks_of(PAGE) if "http.server" in block.commands)
    assert all(f"<http://localhost:{PORT}/{name}>" in text for name in ("", "self-test.html"))
    (tmp_path / "page.md").write_text(text.replace(f"$ {server}\n", ""))
    done = run_page(tmp_path / "page.md", tmp_path)
    assert done.returncode == 0, done.stdout
    command = shlex.split(server.replace(PORT, port))
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_server(port)
            with chromium.page(f"http://localhost:{port}/self-test.html") as page:
                page.wait_for("document.title.startsWith('self-test')")
                assert page.evaluate("document.title") == "self-test passed"
            with chromium.page(f"http://localhost:{port}/") as page:
                page.wait_for("document.querySelector('#status').textContent === 'Ready'")
                assert page.evaluate("navigator.serviceWorker.ready.then(() => document.title)") == "classifier"
                assert page.evaluate(run_example()) == 10
        finally:
            process.terminate()
