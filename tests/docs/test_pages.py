"""Every block of every page is run, here or by the test that the page's subject has, or says why it is not."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from dmformer import assets, load_checkpoint
from dmformer.data.idx import read_idx
from tests.docs.blocks import Block, blocks_of
from tests.embedding.documents import run_program, words_of
from tests.support import ROOT, invoke

ELSEWHERE = {
    "docs/benchmarking.md": "tests/bench/test_docs.py",
    "docs/coreml.md": "tests/coreml/test_page.py",
    "docs/embed-cpp.md": "tests/embedding/test_cpp_applications.py",
    "docs/embed-preprocessing.md": "tests/pipeline/test_pixels.py",
    "docs/embed-python.md": "tests/embedding/test_python.py",
    "docs/embed-swift.md": "tests/embedding/test_swift.py",
    "docs/embed-web.md": "tests/embedding/test_web_documents.py",
    "docs/new-target.md": "tests/test_new_target.py",
    "docs/new-task.md": "tests/test_new_task.py",
}
"""Pages that have a test of their own."""
FROM_NOTHING = {"docs/your-weights.md", "docs/other-code.md"}
"""Pages that make all that they use."""
SHORT = {
    "bench": "--duration 0.05 --launches 1 --warmup 0 --threads 1 --no-layers --against none",
    "--int8": "--images 32",
}
"""What is added to a command, or to an option, so that it takes little time."""
PAGES = [str(path.relative_to(ROOT)) for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]]
IN_EVERY_RUN = {"README.md"}
"""The others are run by ``make pages``."""
WITH_BLOCKS = [page for page in PAGES if any(block.reason is None for block in blocks_of(ROOT / page))]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a reader has: weights, labelled pictures, others to calibrate with, a photo, the repository's examples.

    The weights are the embedded ones, as a trainer leaves them, with their description beside them.
    """
    checkpoint = load_checkpoint()
    torch.save(dict(checkpoint.state), tmp_path / "best.pt")
    config, preprocessing = (each.model_dump(mode="json") for each in (checkpoint.config, checkpoint.preprocessing))
    described = {"model": config, "preprocessing": preprocessing, "labels": checkpoint.labels}
    (tmp_path / "config.json").write_text(json.dumps(described))
    images = assets.test_images()
    pictures, labels = read_idx(images), read_idx(images.with_name("t10k-labels-idx1-ubyte.gz"))
    for index in range(64):
        folder = tmp_path / ("val" if index < 32 else "photos") / str(labels[index])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pictures[index]).save(folder / f"{index}.png")
    Image.fromarray(pictures[0]).save(tmp_path / "photo.jpg")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "empty").mkdir()
    # What a page writes down is not among the devices of whoever runs this.
    monkeypatch.setenv("DMFORMER_DEVICES", str(tmp_path / "own" / "devices.toml"))
    return tmp_path


def succeed(arguments: list[str]) -> None:
    done = run_program(arguments, Path.cwd())
    assert done.returncode == 0, done.stdout[-4000:]


def run_block(block: Block, capsys: pytest.CaptureFixture[str]) -> None:
    if block.title:
        Path(block.title).write_text(block.text)
    elif block.kind == "python":
        succeed([sys.executable, "-c", block.text])
    else:
        for command in block.commands():
            words = words_of(command)
            if words is None:
                succeed(["bash", "-euo", "pipefail", "-c", command])
            else:
                shorter = [option for word in words for option in SHORT.get(word, "").split()]
                code, _, stderr = invoke(capsys, *words, *shorter)
                assert code == 0, (command, stderr)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[] if page in IN_EVERY_RUN else pytest.mark.page)
        for page in WITH_BLOCKS
        if page not in ELSEWHERE
    ],
)
def test_every_block_of_the_page_runs(
    page: str, desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk if page not in FROM_NOTHING else desk / "empty")
    for block in blocks_of(ROOT / page):
        if block.reason is None:
            run_block(block, capsys)


def test_every_other_page_has_a_test_of_its_own() -> None:
    assert ELSEWHERE.keys() <= set(PAGES)
    for page, test in ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text(), page


def test_a_block_that_is_not_run_says_why() -> None:
    reasons = [block.reason for page in PAGES for block in blocks_of(ROOT / page) if block.reason is not None]
    assert all(len(reason) > 5 for reason in reasons)
