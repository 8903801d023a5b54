"""The web project in a real browser: it passes its self-test, answers like Python, and says what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmformer import assets
from dmformer.bundle import Bundle
from dmformer.data.open import open_dataset
from dmformer.embedding.project import embed
from dmformer.embedding.web import parameters
from dmformer.errors import UsageError
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions, Int8Options
from dmformer.runtimes.base import SessionOptions
from dmformer.runtimes.engine import open_engine
from tests.embedding.browser import Browser, served
from tests.embedding.conftest import MakeSite
from tests.support import logits_on, with_fields

Exported = Callable[..., Path]
IMAGES = 100
VERDICT = "document.querySelector('#verdict').dataset.state"
STAGES = "[...document.querySelectorAll('#stages li')].map((item) => item.textContent)"


@pytest.fixture(scope="module", params=["fp32", "int8"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The embedded checkpoint, whose answers differ from image to image as a random network's do not."""
    options = ExportOptions(
        precision=request.param,
        output=tmp_path_factory.mktemp("bundle"),
        max_images=200,
        int8=Int8Options(images=32, use_cache=False),
    )
    return export_bundles(None, options)[0].bundle


@pytest.fixture(scope="module")
def site(bundle: Bundle, make_site: MakeSite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed."""
    return make_site(bundle, tmp_path_factory.mktemp("web") / "project")


@pytest.fixture
def small(exported: Exported, make_site: MakeSite, tmp_path: Path) -> Path:
    """The page around a tiny network, to be changed."""
    return make_site(Bundle.load(exported("onnxruntime")), tmp_path / "project")


def self_test(chromium: Browser, site: Path) -> tuple[str, list[str]]:
    """The verdict, and a line for each stage."""
    with served(site) as address, chromium.page(f"{address}self-test.html") as page:
        page.wait_for(VERDICT)
        return page.evaluate("document.title"), page.evaluate(STAGES)


def test_the_self_test_passes(chromium: Browser, site: Path) -> None:
    verdict, (preprocessing, engine) = self_test(chromium, site)
    assert verdict == "self-test passed"
    assert preprocessing.startswith("preprocessing: ok: 32 images, worst difference 0.000")
    assert engine.startswith("engine: ok: 32 images, agreement ")


CLASSIFY = """
(async () => {
  const { Classifier } = await import("./classifier.js");
  const classifier = await Classifier.open();
  const found = [];
  for (let index = 0; index < COUNT; ++index) {
    const image = await (await fetch(`images/${index}.png`)).blob();
    found.push((await classifier.classify(image, String(index))).guesses[0]);
  }
  return found;
})()
"""


def test_top1_is_python_s_on_a_hundred_images(bundle: Bundle, site: Path, chromium: Browser) -> None:
    dataset = open_dataset(assets.test_images()).select(range(IMAGES))
    with open_engine(bundle, SessionOptions(threads=1)) as engine:
        logits = logits_on(engine, dataset).astype(float)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    (site / "images").mkdir()
    for index in range(IMAGES):
        Image.fromarray(dataset.load(index).image).save(site / "images" / f"{index}.png")
    with served(site) as address, chromium.page(address) as page:
        found = page.evaluate(CLASSIFY.replace("COUNT", str(IMAGES)))
    assert bundle.manifest.labels is not None
    assert [guess["label"] for guess in found] == [bundle.manifest.labels[index] for index in logits.argmax(axis=1)]
    error = np.abs(np.array([guess["probability"] for guess in found]) - shares.max(axis=1)).max()
    assert error < (1e-4 if bundle.manifest.precision.requested == "fp32" else 0.02)


def change(site: Path, name: str, old: str, new: str) -> None:
    path = site / name
    text, count = re.subn(old, new, path.read_text(), flags=re.S)
    assert count == 1
    path.write_text(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [(r'"mean": \[[^]]*\]', '"mean": [0.5, 0.5, 0.5]'), (r'"filter": "bilinear"', '"filter": "nearest"')],
)
def test_wrong_preprocessing_is_named_as_that(small: Path, chromium: Browser, old: str, new: str) -> None:
    change(small, "parameters.js", old, new)
    verdict, (preprocessing, engine) = self_test(chromium, small)
    assert verdict == "self-test failed: preprocessing differs"
    assert preprocessing.startswith("preprocessing: DIFFERS: 6 images")
    assert engine.startswith("engine: ok"), "the engine gets the golden tensors, whatever is made here"


def test_pixels_in_another_order_are_named_as_preprocessing(
    weights: Path, labelled: Path, make_site: MakeSite, chromium: Browser, tmp_path: Path
) -> None:
    options = ExportOptions(golden_images=6, data=labelled, output=tmp_path, embed_preprocessing=True)
    site = make_site(export_bundles(weights, options)[0].bundle, tmp_path / "project")
    change(site, "parameters.js", '"order": "rgb"', '"order": "bgr"')
    verdict, (preprocessing, engine) = self_test(chromium, site)
    assert verdict == "self-test failed: preprocessing differs"
    assert preprocessing.startswith("preprocessing: DIFFERS: 6 images")
    assert engine.startswith("engine: ok")


def test_another_engine_is_named_as_that(small: Path, chromium: Browser) -> None:
    change(small, "engine.js", r"batch\.set\(image,", "batch.set(image.map((value) => value * 1.01),")
    verdict, (preprocessing, engine) = self_test(chromium, small)
    assert verdict == "self-test failed: engine differs"
    assert preprocessing.startswith("preprocessing: ok")
    assert engine.startswith("engine: DIFFERS")


@pytest.mark.parametrize("what", [{"batch": 4}, {"dynamic": True}, {"target": "onnx"}, {"pixels": True}])
def test_every_kind_of_engine_passes(
    exported: Exported, make_site: MakeSite, chromium: Browser, tmp_path: Path, what: dict[str, object]
) -> None:
    found = Bundle.load(exported(**{"target": "onnxruntime", **what}))
    assert self_test(chromium, make_site(found, tmp_path / "project"))[0] == "self-test passed"


def test_an_isolated_page_may_have_threads(small: Path, chromium: Browser) -> None:
    headers = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
    with served(small, headers) as address, chromium.page(address) as page:
        found = page.evaluate(
            "Promise.all([import('./engine.js'), import('./golden.js')]).then(async ([{ Engine }, golden]) => "
            "golden.compareEngine(await golden.loadGolden(), await Engine.open({ threads: 2 })))"
        )
        assert found["passed"], found
        assert page.evaluate("crossOriginIsolated")


def test_what_is_missing_is_said(small: Path, chromium: Browser) -> None:
    (small / "golden" / "000.f32").unlink()
    assert self_test(chromium, small)[0] == "self-test cannot be told: golden/000.f32: cannot be loaded (404)"
    (small / "engine" / "model.onnx").write_bytes(b"damaged")
    with served(small) as address, chromium.page(address) as page:
        page.wait_for("document.querySelector('#error').textContent")
        assert "engine/model.onnx: cannot be opened by onnxruntime-web" in page.evaluate(
            "document.querySelector('#error').textContent"
        )
    (small / "runtime" / "ort.wasm.min.mjs").unlink()
    with served(small) as address, chromium.page(address) as page:
        page.wait_for("document.querySelector('#error').textContent")
        assert "run `npm install`" in page.evaluate("document.querySelector('#error').textContent")


def test_nothing_in_a_manifest_becomes_code(copied: Path) -> None:
    labels = ['";alert(1);"', "</script>", "\u2028", "\\", *map(str, range(6))]
    text = parameters(with_fields(Bundle.load(copied), labels=tuple(labels), name='x"; alert(1); "'), "</title>")
    assert text.isascii()
    constants = dict(re.findall(r"^export const (\w+) = (.*?);$(?=\nexport|\n*\Z)", text, flags=re.M | re.S))
    assert json.loads(constants["LABELS"]) == labels
    assert json.loads(constants["TITLE"]) == "</title>"
    assert json.loads(constants["NAME"]) == 'x"; alert(1); "'


def test_what_the_browser_cannot_run_is_refused(exported: Exported, copied: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="openvino, which web cannot run") as caught:
        embed(Bundle.load(exported("openvino")), "web", tmp_path / "p")
    assert "web runs onnxruntime, onnx" in str(caught.value.hint)
    assert "openvino is run by python, cpp" in str(caught.value.hint)
    half = Bundle.load(copied)
    taken = half.manifest.input.model_copy(update={"dtype": "float16"})
    with pytest.raises(UsageError, match="takes float16, and web gives float32"):
        embed(with_fields(half, input=taken), "web", tmp_path / "p")
    assert not (tmp_path / "p").exists()
