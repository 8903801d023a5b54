"""The page without its server, in a real browser: it opens, answers, proves itself, and is the version last served."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from dmformer.bundle import Bundle
from tests.conftest import Exported
from tests.embedding.browser import Browser, Page, served
from tests.embedding.conftest import MakeSite
from tests.embedding.pictures import picture
from tests.support import PATIENCE

READY = "document.querySelector('#status').textContent === 'Ready'"
KEPT = (
    "navigator.serviceWorker.ready"
    ".then(async () => (await (await caches.open(`dmformer ${location.origin}/`)).keys()).map(({ url }) => url))"
)


@pytest.fixture
def site(exported: Exported, make_site: MakeSite, tmp_path: Path) -> Path:
    site = make_site(Bundle.load(exported("onnxruntime")), tmp_path / "Shoes & boots")
    listed(site)
    return site


def listed(site: Path) -> dict[str, str]:
    """The files of a page with their hashes, written anew."""
    node = shutil.which("node")
    assert node is not None
    subprocess.run([node, site.parent / "list-files.mjs"], check=True)
    text = (site / "files.js").read_text()
    return dict(json.loads(text.removeprefix("const FILES = ").removesuffix(";\n")))


def when_kept(page: Page, condition: Callable[[set[str]], bool]) -> set[str]:
    """The addresses that the service worker keeps, once a condition holds of them."""
    deadline = time.monotonic() + PATIENCE
    while not condition(kept := set(page.evaluate(KEPT))):
        assert time.monotonic() < deadline, kept
        time.sleep(0.05)
    return kept


def loaded(page: Page, address: str) -> None:
    page.go(address)
    page.wait_for(READY)


def test_the_page_opens_without_its_server(chromium: Browser, site: Path, tmp_path: Path) -> None:
    Image.fromarray(picture(97, 61)).save(tmp_path / "photo.png")
    with served(site) as address, chromium.page(address) as page:
        page.wait_for(READY)
        kept = page.evaluate(KEPT)
    assert len(kept) == len([name for name in listed(site) if not name.startswith("golden/")])
    with chromium.page(address) as page:  # Nobody listens there any more.
        page.wait_for(READY)
        assert page.evaluate("document.title") == page.evaluate("document.querySelector('h1').innerText")
        assert page.evaluate("document.title") == "Shoes & boots"
        page.give_file("#file", tmp_path / "photo.png")
        page.wait_for("document.querySelectorAll('#classes li').length === 5")


def test_the_self_test_passes_without_a_server_where_it_was_opened_before(chromium: Browser, site: Path) -> None:
    with served(site) as address, chromium.page(address) as page:
        page.wait_for(READY)
        page.evaluate(KEPT)
        page.go(f"{address}self-test.html")
        page.wait_for("document.title.startsWith('self-test')")
        when_kept(page, lambda kept: len(kept) == len(listed(site)))
    with chromium.page(f"{address}self-test.html") as page:
        page.wait_for("document.title.startsWith('self-test')")
        assert page.evaluate("document.title") == "self-test passed"


def test_the_last_version_served_is_the_one_that_is_kept(chromium: Browser, site: Path) -> None:
    parameters = site / "parameters.js"
    with served(site) as address, chromium.page(address) as page:
        page.wait_for(READY)
        first = when_kept(page, bool)
        parameters.write_text(re.sub("TITLE = .*;", 'TITLE = "Second";', parameters.read_text()))
        listed(site)
        loaded(page, address)
        assert page.evaluate("document.title") == "Second", "while there is a server, it is asked"
        # One file is new, and its old version dropped.
        when_kept(page, lambda kept: (len(kept - first), len(first - kept)) == (1, 1))
    with chromium.page(address) as page:
        page.wait_for(READY)
        assert page.evaluate("document.title") == "Second"


def test_a_file_that_is_not_what_the_list_says_is_not_kept(chromium: Browser, site: Path) -> None:
    (site / "style.css").write_text("body {}")
    with served(site) as address, chromium.page(address) as page:
        page.wait_for(READY)
        failed = (
            "navigator.serviceWorker.register('service-worker.js').then((one) => new Promise((done) => "
            "one.installing ? one.installing.addEventListener('statechange', ({ target }) => done(target.state)) : "
            "done(one.active === null ? 'redundant' : 'active')))"
        )
        assert page.evaluate(failed) == "redundant"
