"""Every block of every page is run, here or by the test that the page's subject has, or says why it is not."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dmformer.model.checkpoint import Checkpoint
from tests.docs.blocks import Block, blocks_of, run_program, words_of
from tests.support import ROOT, invoke, random_images

ELSEWHERE = {
    "docs/benchmarking.md": "tests/bench/test_docs.py",
    "docs/coreml.md": "tests/coreml/test_page.py",
    "docs/embed-cpp.md": "tests/embedding/test_cpp.py",
    "docs/embed-python.md": "tests/embedding/test_python_documents.py",
    "docs/embed-swift.md": "tests/embedding/test_swift.py",
    "docs/embed-web.md": "tests/embedding/test_web_documents.py",
    "docs/new-target.md": "tests/test_new_target.py",
    "docs/new-task.md": "tests/test_new_task.py",
}
"""Pages that have a test of their own."""
FROM_NOTHING = {"docs/your-weights.md"}
"""Pages that make all that they use."""
SHORT = ["--duration", "0.05", "--launches", "1", "--warmup", "0", "--threads", "1", "--no-layers", "--against", "none"]
"""What makes a measurement short."""
PAGES = [str(path.relative_to(ROOT)) for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]]
WITH_BLOCKS = [page for page in PAGES if any(block.reason is None for block in blocks_of(ROOT / page))]


@pytest.fixture
def desk(tmp_path: Path, checkpoint: Checkpoint) -> Path:
    """What a reader has: weights, labelled pictures, others to calibrate with, a photo, and the repository's examples."""
    torch.save(dict(checkpoint.state), tmp_path / "best.pt")
    shown = {
        "model": checkpoint.config.model_dump(mode="json"),
        "preprocessing": checkpoint.preprocessing.model_dump(mode="json"),
    }
    (tmp_path / "config.json").write_text(json.dumps({**shown, "labels": checkpoint.labels}))
    images = random_images(24)
    for index, image in enumerate(images):
        folder = tmp_path / "val" / f"class {index % checkpoint.config.classes}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{index}.png")
    (tmp_path / "photos").mkdir()
    for index, image in enumerate(images):
        Image.fromarray(np.flip(image)).save(tmp_path / "photos" / f"{index}.png")
    Image.fromarray(images[0]).save(tmp_path / "photo.jpg")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "empty").mkdir()
    return tmp_path


def run_block(block: Block, capsys: pytest.CaptureFixture[str]) -> None:
    if block.title:
        Path(block.title).write_text(block.text)
    elif block.kind == "python":
        run_program([sys.executable, "-c", block.text])
    else:
        for command in block.commands():
            words = words_of(command)
            if words is None:
                run_program(["bash", "-euo", "pipefail", "-c", command])
            else:
                code, _, stderr = invoke(capsys, *words, *(SHORT if words[0] == "bench" else ()))
                assert code == 0, (command, stderr)


@pytest.mark.parametrize("page", [page for page in WITH_BLOCKS if page not in ELSEWHERE])
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
