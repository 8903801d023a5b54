"""The page in a real browser, as wide as a phone and as a desk: it draws, and nothing sticks out."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmformer.evaluation.report.material import Material
from dmformer.evaluation.report.page import page
from tests.documents import make_accuracy, make_document, make_layers, make_result

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    name = "dmformer-small-with-a-rather-long-name-onnxruntime-int8"
    rated = {"reference": "pytorch", "speedup": 3, "speedup_ci": (2.9, 3.1)}
    engine = make_result(name, 10, 1, **rated, accuracy=make_accuracy(), layers=make_layers())
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page(Material("A report", (make_document(make_result("pytorch", 30), engine),))))
    return path


def chromium(*arguments: str) -> str:
    """Runs the browser with a profile of its own, and a path that is short: sockets in long ones abort it."""
    with tempfile.TemporaryDirectory(prefix="dmf", dir="/tmp") as short:
        done = subprocess.run(
            [CHROMIUM or "", *FLAGS, f"--user-data-dir={short}/profile", *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
            env={**os.environ, "TMPDIR": short},
        )
    return done.stdout


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out(written: Path, tmp_path: Path, width: int) -> None:
    frame = (
        f'<iframe style="width:{width}px;height:800px;border:0" srcdoc="{html.escape(written.read_text())}"></iframe>'
    )
    ask = "document.title = document.querySelector('iframe').contentDocument.documentElement.scrollWidth"
    outer = tmp_path / "outer.html"
    outer.write_text(f"<!DOCTYPE html><body>{frame}<script>onload = () => {{ {ask} }}</script>")
    found = re.search(r"<title>(\d+)</title>", chromium("--dump-dom", outer.as_uri()))
    assert found is not None
    assert int(found.group(1)) <= width


@pytest.mark.parametrize(("scheme", "dark"), [("0", True), ("1", False)])
def test_it_draws_in_light_and_dark(written: Path, tmp_path: Path, scheme: str, dark: bool) -> None:
    shot = tmp_path / "shot.png"
    chromium(
        "--window-size=390,1200", f"--blink-settings=preferredColorScheme={scheme}",
        f"--screenshot={shot}", written.as_uri(),
    )  # fmt: skip
    pixels = np.asarray(Image.open(shot).convert("L"))
    assert (np.median(pixels) < 128) == dark
    assert len(np.unique(pixels)) > 50


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="apt-get install poppler-utils")
def test_paper_holds_what_the_closed_parts_hold(written: Path, tmp_path: Path) -> None:
    content = written.read_text()
    hidden = [
        html.unescape(re.sub(r"\s", "", value))
        for part in re.findall(r"<details>.*?</details>", content, flags=re.DOTALL)
        for value in re.findall(r">([^<>]+)<", part)
    ]
    assert len(hidden) > 10
    chromium(f"--print-to-pdf={tmp_path / 'page.pdf'}", written.as_uri())
    done = subprocess.run(["pdftotext", tmp_path / "page.pdf", "-"], capture_output=True, text=True, check=True)
    said = re.sub(r"\s", "", done.stdout)
    assert [value for value in hidden if value not in said] == []


def test_legends_have_their_colours_on_paper(written: Path, tmp_path: Path) -> None:
    """Each mark of a legend is a box filled with its series' colour in the PDF itself."""
    chromium(f"--print-to-pdf={tmp_path / 'page.pdf'}", written.as_uri())
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", (tmp_path / "page.pdf").read_bytes(), re.DOTALL)
    drawn = b"".join(unpacked(stream) for stream in streams)
    filled = {
        tuple(round(255 * float(part)) for part in found.split()) for found in re.findall(rb"([\d. ]+) rg\b", drawn)
    }
    marks = set(re.findall(r"background: var\((--series-\d+)\)", written.read_text()))
    colours = dict(re.findall(r"(--series-\d+): #([0-9a-f]{6})", written.read_text().partition("@media")[0]))
    assert len(marks) > 2
    assert {tuple(bytes.fromhex(colours[mark])) for mark in marks} <= filled


def unpacked(stream: bytes) -> bytes:
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""
