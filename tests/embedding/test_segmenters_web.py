"""The web project of a segmenter in a real browser: maps, overlays and shares are Python's, and the page shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmformer.bundle import Bundle
from tests.conftest import Segmented
from tests.embedding.browser import Browser, served
from tests.embedding.conftest import MakeSite
from tests.embedding.segmenters import EQUAL, answers, pictures

SEGMENT = """
Promise.all([import("./segmenter.js"), import("./maps.js")]).then(async ([{ Segmenter }, { overlay }]) => {
  const segmenter = await Segmenter.open();
  const found = [];
  for (const name of NAMES) {
    const { image, classes } = await segmenter.segment(await (await fetch(name)).blob(), name);
    found.push([[...classes], [...overlay(image, classes, 0.5).data]]);
  }
  return found;
})
"""
ROWS = "[...document.querySelectorAll('#classes li')].map((item) => item.innerText.trim().split('\\n'))"
COLOUR = "getComputedStyle(document.querySelector('#classes .swatch')).backgroundColor"
CORNER = "[...document.querySelector('#picture').getContext('2d').getImageData(0, 0, 1, 1).data]"


@pytest.fixture(scope="module")
def site(segmented: Segmented, make_site: MakeSite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed, but for pictures."""
    return make_site(Bundle.load(segmented("onnxruntime", argmax=True)), tmp_path_factory.mktemp("web") / "project")


def test_it_finds_and_draws_what_dmformer_does(segmented: Segmented, site: Path, chromium: Browser) -> None:
    paths = pictures(site)
    with served(site) as address, chromium.page(f"{address}self-test.html") as page:
        page.wait_for("document.title.startsWith('self-test')")
        assert page.evaluate("document.title") == "self-test passed"
        preprocessing, engine = page.evaluate(
            "[...document.querySelectorAll('#stages li')].map((li) => li.textContent)"
        )
        assert preprocessing.startswith("preprocessing: ok: 3 images, worst difference 0.000")
        assert engine.startswith("engine: ok: 3 images, 100.0000 % of ")
        found = page.evaluate(SEGMENT.replace("NAMES", str([path.name for path in paths])))
    for (classes, colours), path, answer in zip(
        found, paths, answers(segmented("onnxruntime", argmax=True), paths), strict=True
    ):
        assert (np.array(classes) == answer.classes.ravel()).mean() >= EQUAL
        with Image.open(path) as image:
            drawn = np.array(colours).reshape(image.height, image.width, 4)[..., :3]
            assert (drawn == answer.overlay(np.array(image))).all(axis=2).mean() >= EQUAL


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_shows_overlay_legend_and_shares(
    segmented: Segmented, site: Path, chromium: Browser, width: int
) -> None:
    path = pictures(site)[1]
    (answer,) = answers(segmented("onnxruntime", argmax=True), [path])
    with served(site) as address, chromium.page(address) as page:
        page.show(width, 900, dark=False)
        page.wait_for("document.querySelector('#status').textContent === 'Ready'")
        page.give_file("#file", path)
        page.wait_for("document.querySelectorAll('#classes li').length")
        shares = answer.shares
        assert page.evaluate(ROWS) == [[name, f"{100 * share:.1f} %"] for name, share in shares.items()]
        largest = next(iter(shares))
        assert page.evaluate(COLOUR) == f"rgb{answer.palette[answer.names.index(largest)]}"
        assert page.evaluate("document.querySelector('#status').textContent").startswith(
            f"{path.name}: {largest} covers"
        )
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off"
        with Image.open(path) as image:
            pixels = np.array(image)
        assert page.evaluate(CORNER)[:3] == answer.overlay(pixels)[0, 0].tolist()
        page.evaluate(
            "(({ opacity }) => { opacity.value = 1; opacity.dispatchEvent(new Event('input')); })"
            "({ opacity: document.querySelector('#opacity') })"
        )
        assert page.evaluate(CORNER)[:3] == answer.overlay(pixels, 1)[0, 0].tolist()
        assert page.evaluate("document.querySelector('#picture').width") == answer.classes.shape[1]
