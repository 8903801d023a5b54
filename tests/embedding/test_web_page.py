"""The page as a person meets it: by dialog, drop and keyboard, on a phone and a desk, in the light and in the dark."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmformer.bundle import Bundle
from dmformer.embedding.project import embed
from dmformer.preprocessing import load_image, preprocess_batch
from tests.embedding.browser import Browser, Page, served
from tests.embedding.conftest import MakeSite
from tests.embedding.pictures import picture
from tests.support import edit_manifest, outputs

Exported = Callable[..., Path]
READY = "document.querySelector('#status').textContent === 'Ready'"
CLASSES = "[...document.querySelectorAll('#classes li')].map((item) => item.innerText.split('\\n'))"
HOSTILE = "<img src=x onerror=alert(1)> and a label so long that it has to be broken " + "x" * 60


@pytest.fixture(scope="module")
def bundle(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "bundle"
    shutil.copytree(exported("onnxruntime"), path)
    edit_manifest(path, lambda m: m.update(labels=[f"{HOSTILE} {index}" for index in range(10)], name=HOSTILE[:60]))
    return path


@pytest.fixture(scope="module")
def address(bundle: Path, make_site: MakeSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(make_site(Bundle.load(bundle), tmp_path_factory.mktemp("page") / "project")) as address:
        yield address


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    with chromium.page(address) as page:
        page.wait_for(READY)
        yield page


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "a photo.jpg"
    Image.fromarray(picture(97, 61)).save(path, quality=90)
    return path


def expected(bundle: Path, photo: Path) -> list[list[str]]:
    loaded = Bundle.load(bundle)
    logits = outputs(loaded, preprocess_batch([load_image(photo)], loaded.manifest.preprocessing))[0].astype(float)
    shares = np.exp(logits) / np.exp(logits).sum()
    assert loaded.manifest.labels is not None
    return [[loaded.manifest.labels[index], f"{100 * shares[index]:.1f} %"] for index in np.argsort(-shares)[:5]]


def answered(page: Page) -> list[list[str]]:
    page.wait_for("document.querySelectorAll('#classes li').length")
    return list(page.evaluate(CLASSES))


def test_a_chosen_image_gets_python_s_classes(page: Page, bundle: Path, photo: Path) -> None:
    page.give_file("#file", photo)
    classes = answered(page)
    assert classes == expected(bundle, photo)
    status = page.evaluate("document.querySelector('#status').textContent")
    assert status.startswith(f"a photo.jpg: {classes[0][0]}, {classes[0][1]}, in ")
    times = page.evaluate("document.querySelector('#times').innerText").split()
    assert times[::3] == ["reading", "preprocessing", "engine"]
    page.wait_for("document.querySelector('#preview').naturalWidth === 97")
    assert page.evaluate("document.images.length") == 1, "labels are text"


def test_a_dropped_image_does_too(page: Page, bundle: Path, photo: Path) -> None:
    x, y = page.evaluate("(({ x, y }) => [x + 20, y + 20])(document.querySelector('#drop').getBoundingClientRect())")
    data = {"items": [], "files": [str(photo)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        page.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)
    assert answered(page) == expected(bundle, photo)


def test_the_keyboard_reaches_everything(page: Page) -> None:
    page.call("Page.setInterceptFileChooserDialog", enabled=True)
    page.press("Tab", 9)
    assert page.evaluate("document.activeElement.id") == "file"
    assert page.evaluate("getComputedStyle(document.querySelector('#drop')).outlineStyle") == "solid"
    page.press(" ", 32)
    page.wait("Page.fileChooserOpened")
    page.press("Tab", 9)
    assert page.evaluate("document.activeElement.textContent") == "Self-test"


def test_screen_readers_are_told_everything(page: Page, photo: Path, tmp_path: Path) -> None:
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    named = {node["role"]["value"]: node.get("name", {}).get("value") for node in nodes if not node["ignored"]}
    assert named["button"].startswith("Choose an image")
    page.give_file("#file", photo)
    answered(page)
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = [node["role"]["value"] for node in nodes if not node["ignored"]]
    assert roles.count("listitem") == 5
    assert {"status", "alert", "main", "heading"} <= set(roles)
    unnamed = [node["role"]["value"] for node in nodes if not node["ignored"] and not node.get("name", {}).get("value")]
    assert not {"button", "image", "link", "region"} & set(unnamed)


def test_what_is_no_image_is_said_and_leaves_no_old_answer(page: Page, photo: Path, tmp_path: Path) -> None:
    page.give_file("#file", photo)
    answered(page)
    (tmp_path / "notes.txt").write_text("no image")
    page.give_file("#file", tmp_path / "notes.txt")
    page.wait_for("document.querySelector('#error').textContent")
    assert page.evaluate("document.querySelector('#error').textContent") == "notes.txt: is not a JPEG or PNG image"
    assert page.evaluate(CLASSES) == []
    assert page.evaluate("document.querySelector('#preview').checkVisibility()") is False
    page.give_file("#file", photo)
    assert len(answered(page)) == 5
    assert page.evaluate("document.querySelector('#error').textContent") == ""


def test_nothing_is_asked_for_from_elsewhere_and_the_network_may_go(
    page: Page, address: str, photo: Path, tmp_path: Path
) -> None:
    assert len(page.requested()) > 10
    assert all(request.startswith((address, "data:", "blob:")) for request in page.requested())
    with served(tmp_path) as elsewhere:
        send = f"fetch('{elsewhere}', {{ mode: 'no-cors' }}).then(() => 'sent', (error) => 'refused')"
        assert page.evaluate(send) == "refused"
    page.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    page.give_file("#file", photo)
    assert len(answered(page)) == 5


CONTRAST = """
(() => {
  const channels = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const light = (colour) => channels(colour).slice(0, 3)
    .map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return channels(colour)[3] === 0 ? behind(element.parentElement) : colour;
  };
  const bar = getComputedStyle(document.documentElement).getPropertyValue("--bar");
  document.querySelectorAll("#classes li").forEach((item) => { item.style.background = bar; });
  const words = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  const written = [...document.querySelectorAll("body *")].filter((item) => words(item) && item.checkVisibility());
  return written.map((element) => {
    const [one, other] = [getComputedStyle(element).color, behind(element)].map(light).sort((a, b) => b - a);
    return [(one + 0.05) / (other + 0.05), element.textContent.trim().slice(0, 40)];
  });
})()
"""


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_it_can_be_read_and_nothing_sticks_out(page: Page, photo: Path, tmp_path: Path, width: int, dark: bool) -> None:
    page.show(width, 800, dark)
    page.give_file("#file", photo)
    answered(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert (np.median(page.pixels()) < 128) == dark
    page.evaluate("document.querySelector('#error').textContent = 'An error'")
    found = page.evaluate(CONTRAST)
    assert len(found) > 15
    assert [text for ratio, text in found if ratio < 4.5] == []


def test_without_a_server_it_says_so(chromium: Browser, bundle: Path, tmp_path: Path) -> None:
    site = embed(Bundle.load(bundle), "web", tmp_path / "project").path / "site"
    for name in ("index.html", "self-test.html"):
        with chromium.page((site / name).as_uri()) as page:
            assert "through a web server" in page.evaluate("document.body.innerText")
