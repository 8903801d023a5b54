"""The browser and its runtime, once for all tests of the web project."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dmformer.bundle import Bundle
from dmformer.embedding.languages import TEMPLATES
from dmformer.embedding.project import embed
from tests.embedding.browser import CHROMIUM, Browser, browser
from tests.support import PATIENCE

MakeSite = Callable[[Bundle, Path], Path]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A running browser. Each test opens pages of its own."""
    if CHROMIUM is None:
        pytest.skip("no chromium here: .ci/system-packages installs it")
    with browser() as started:
        yield started


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder ``site/runtime`` of a project, as ``npm install`` leaves it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here: .ci/system-packages installs it")
    folder = tmp_path_factory.mktemp("npm")
    for name in ("package.json", "copy-runtime.mjs", "list-files.mjs"):
        shutil.copyfile(TEMPLATES / "web" / "common" / name, folder / name)
    done = subprocess.run(
        [npm, "install"], cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site" / "runtime"


@pytest.fixture(scope="session")
def make_site(runtime: Path) -> MakeSite:
    """Embeds a bundle in a folder and installs the runtime there; gives the folder that is to be served."""

    def make(bundle: Bundle, folder: Path) -> Path:
        site = embed(bundle, "web", folder).path / "site"
        shutil.copytree(runtime, site / "runtime")
        return site

    return make
