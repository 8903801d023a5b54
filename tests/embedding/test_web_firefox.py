"""The web project in Firefox, where it is installed: the same self-test, and pixels within 1 of 255 of Python's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmformer.bundle import Bundle
from dmformer.preprocessing import load_image
from tests.embedding.conftest import MakeSite
from tests.embedding.pictures import save_jpegs, save_pngs
from tests.support import PATIENCE

FIREFOX = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
CHECK = """
import { loadImage } from "./images.js";
import { Engine } from "./engine.js";
import { compareEngine, comparePreprocessing, loadGolden } from "./golden.js";

const bytesOf = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());

async function differenceOf(name) {
  const { data } = await loadImage(new Blob([await bytesOf(`given/${name}`)]), name);
  const expected = await bytesOf(`given/${name}.raw`);
  if (data.length !== expected.length) return "another size";
  return data.reduce((worst, value, index) => Math.max(worst, Math.abs(value - expected[index])), 0);
}

async function check() {
  const images = {};
  for (const name of await (await fetch("given/names.json")).json()) {
    images[name] = await differenceOf(name).catch((error) => error.message);
  }
  const golden = await loadGolden();
  return { images, stages: [comparePreprocessing(golden), await compareEngine(golden, await Engine.open())] };
}

const report = await check().catch((error) => ({ error: error.message }));
await fetch("report", { method: "POST", body: JSON.stringify(report) });
"""


class Reporting(SimpleHTTPRequestHandler):
    """Serves a folder, and keeps what a page sends."""

    def __init__(self, *arguments: Any, keep: Callable[[bytes], None], directory: str) -> None:
        self.keep = keep
        super().__init__(*arguments, directory=directory)

    def do_POST(self) -> None:
        self.keep(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


def report_of(site: Path, page: str, home: Path) -> dict[str, Any]:
    """What the page sends when Firefox opens it."""
    received: list[bytes] = []
    arrived = threading.Event()

    def keep(content: bytes) -> None:
        received.append(content)
        arrived.set()

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Reporting, keep=keep, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/{page}"
        command = [FIREFOX or "", "--headless", "--no-remote", "--profile", str(home), address]
        environment = {**os.environ, "HOME": str(home)}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as process:
            try:
                assert arrived.wait(PATIENCE), "Firefox sent nothing"
            finally:
                process.terminate()
                server.shutdown()
    return dict(json.loads(received[0]))


@pytest.mark.skipif(FIREFOX is None, reason="no Firefox here: apt-get install firefox-esr")
def test_pixels_and_answers_are_python_s(exported: Callable[..., Path], make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(Bundle.load(exported("onnxruntime")), tmp_path / "project")
    given = site / "given"
    given.mkdir()
    paths = [*save_pngs(given), *save_jpegs(given)]
    for path in paths:
        path.with_name(f"{path.name}.raw").write_bytes(np.ascontiguousarray(load_image(path)).tobytes())
    (given / "names.json").write_text(json.dumps([path.name for path in paths]))
    (site / "check.js").write_text(CHECK)
    (site / "check.html").write_text('<!DOCTYPE html><script type="module" src="check.js"></script>')
    (tmp_path / "home").mkdir()
    report = report_of(site, "check.html", tmp_path / "home")
    assert [stage["passed"] for stage in report["stages"]] == [True, True], report["stages"]
    assert set(report["images"]) == {path.name for path in paths}
    assert {name: found for name, found in report["images"].items() if found not in (0, 1)} == {}
