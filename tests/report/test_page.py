"""The page: whole, small, harmless whatever the names in it are, and readable by machines that read aloud."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmformer.errors import MissingBackendError
from dmformer.evaluation.report.charts import frontier
from dmformer.evaluation.report.markup import Html, tag, text
from dmformer.evaluation.report.material import Examined, Material
from dmformer.evaluation.report.page import MAX_BYTES, page
from dmformer.evaluation.report.plain import comma_separated, markdown
from tests.documents import make_accuracy, make_document, make_layers, make_result
from tests.support import flips_of, random_images

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)> $x^2$ & \x1b[31m \u202e =1+1 | `a`'
VOID = {"meta", "img", "br", "link", "use"}


class Reader(HTMLParser):
    """Collects what is on a page and checks that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_startendtag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((name, dict(attributes)))

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name


def read(content: str) -> list[tuple[str, dict[str, str | None]]]:
    reader = Reader()
    reader.feed(content)
    assert reader.open == []
    return reader.tags


def rated(speedup: float) -> dict[str, Any]:
    return {"reference": "pytorch mini", "speedup": speedup, "speedup_ci": (speedup - 0.1, speedup + 0.2)}


@pytest.fixture(scope="module")
def material() -> Material:
    results = (
        make_result("pytorch mini", 30.0, kind="pytorch", target="pytorch"),
        make_result(HOSTILE, 10.0, 1, **rated(3.0), accuracy=make_accuracy(data=HOSTILE), layers=make_layers()),
        make_result("int8", 5.0, 2, **rated(6.0), accuracy=make_accuracy()),
    )
    document = make_document(*results, warnings=(HOSTILE,), command=HOSTILE)
    generator = np.random.default_rng(0)
    logits = generator.standard_normal((40, 3)).astype(np.float32)
    images = random_images(40)
    flips = flips_of(HOSTILE, logits, logits[:, ::-1], generator.integers(0, 3, 40), lambda index: images[index])
    return Material(HOSTILE, (document,), (Examined("int8", make_accuracy(), (HOSTILE, "b", "c"), flips),))


@pytest.fixture(scope="module")
def content(material: Material) -> str:
    return page(material)


def test_nothing_from_a_file_becomes_markup(content: str) -> None:
    tags = read(content)
    assert not [name for name, _ in tags if name in ("script", "iframe", "object", "form", "base")]
    assert not [key for _, attributes in tags for key in attributes if key.startswith("on")]
    assert "<script" not in content
    assert "\x1b" not in content
    assert "\u202e" not in content
    assert "&lt;script&gt;" in content
    assert "$x^2$" in content


def test_nothing_is_fetched(content: str) -> None:
    for name, attributes in read(content):
        for key in ("src", "href", "xlink:href", "srcset", "action"):
            value = attributes.get(key) or ""
            assert value.startswith(("#", "data:image/png;base64,")) or not value, (name, value)
    assert not re.search(r"url\((?!#)", content)
    assert "default-src 'none'" in content
    assert len(content.encode()) < MAX_BYTES


def test_identifiers_are_unique_and_links_lead_somewhere(content: str) -> None:
    tags = read(content)
    identifiers = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    targets = {value for _, a in tags for key in ("href", "xlink:href") if (value := a.get(key) or "").startswith("#")}
    assert {target[1:] for target in targets} <= set(identifiers)


def test_it_can_be_read_aloud_and_by_the_keyboard(content: str) -> None:
    tags = read(content)
    assert all(attributes.get("alt") for name, attributes in tags if name == "img")
    charts = [attributes for name, attributes in tags if name == "svg"]
    assert len(charts) >= 4
    assert all(chart["role"] == "img" and chart["aria-labelledby"] for chart in charts)
    scrolling = [a for _, a in tags if a.get("class") == "scroll"]
    assert all(a["tabindex"] == "0" and a["aria-label"] for a in scrolling)
    assert sum(name == "h1" for name, _ in tags) == 1
    assert all(a.get("scope") for name, a in tags if name == "th")


def test_colours_come_from_the_page(content: str) -> None:
    charts = " ".join(re.findall(r"<svg.*?</svg>", content, flags=re.DOTALL))
    assert set(re.findall(r"#[0-9a-f]{6}\b", charts)) <= {"#000000"}
    assert "prefers-color-scheme: dark" in content


def test_legends_keep_their_colours_on_paper(content: str) -> None:
    """Browsers leave backgrounds out on paper unless the page asks for them."""
    printed = content[content.index("@media print") : content.index("</style>")]
    assert "print-color-adjust: exact" in printed
    assert "@media (prefers-color-scheme: dark)" not in content, "paper is never dark"


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ink", ["--ink", "--soft", "--link", "--good", "--bad"])
def test_contrast_is_enough_for_text(content: str, mode: int, ink: str) -> None:
    block = re.findall(r":root \{(.*?)\}", content, flags=re.DOTALL)[mode]
    colours = dict(re.findall(r"(--[a-z0-9-]+): (#[0-9a-f]{6})", block))
    for paper in ("--paper", "--raised"):
        light, dark = sorted((luminance(colours[ink]), luminance(colours[paper])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper)


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_contrast_of_warnings_and_of_what_charts_draw(content: str, mode: int) -> None:
    """WCAG 2.1: 4.5 for text (1.4.3), 3 for graphics (1.4.11)."""
    block = re.findall(r":root \{(.*?)\}", content, flags=re.DOTALL)[mode]
    colours = dict(re.findall(r"(--[a-z0-9-]+): (#[0-9a-f]{6})", block))
    pairs = [("--warn-ink", "--warn-paper", 4.5)]
    pairs += [(f"--series-{index}", paper, 3.0) for index in range(12) for paper in ("--paper", "--raised")]
    for ink, paper, least in pairs:
        light, dark = sorted((luminance(colours[ink]), luminance(colours[paper])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= least, (ink, paper, (light + 0.05) / (dark + 0.05))


def test_names_are_short_where_the_title_names_the_model() -> None:
    name = "dmformer-mini-openvino-int8"
    document = make_document(
        make_result("pytorch dmformer-mini", 30, model="dmformer-mini"),
        make_result(name, 10, model="dmformer-mini", **{**rated(3.0), "reference": "pytorch dmformer-mini"}),
        warnings=(f"{name}: unsteady", "other processes took 9% of the cores (load average 1.0)"),
    )
    short = Material("t", (document,)).shortened().documents[0]
    assert [found.name for found in short.results] == ["pytorch", "openvino-int8"]
    assert (short.results[0].reference, short.results[1].reference) == (None, "pytorch")
    assert short.warnings == ("openvino-int8: unsteady", document.warnings[1])


def test_equal_material_gives_equal_bytes(material: Material, content: str) -> None:
    assert page(material) == content


def test_markdown_and_csv_are_harmless_too(material: Material) -> None:
    said = markdown(material)
    assert "<script" not in said
    assert "\x1b" not in said
    rows = [line for line in said.splitlines() if line.startswith("| pytorch mini")]
    assert len(rows) == 1
    assert all(not line.startswith(("=", "+", "@")) for line in comma_separated(material).splitlines())
    assert len(comma_separated(material).splitlines()) == 4


def test_text_is_escaped_wherever_it_is_added() -> None:
    assert tag("p", "<b>", Html("<i></i>"), title='"') == '<p title="&quot;">&lt;b&gt;<i></i></p>'
    assert Html("<p>") + "<" == "<p>&lt;"
    assert text("a\nb") == "a?b"


def test_the_frontier_is_what_none_beats() -> None:
    assert frontier([(3, 9), (1, 5), (2, 4), (2, 8), (4, 9)]) == [(1, 5), (2, 8), (3, 9)]


def test_without_matplotlib_there_is_a_hint(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingBackendError) as caught:
        page(material)
    assert "dmformer[report]" in (caught.value.hint or "")


def test_a_page_of_measurements_without_anything_else(tmp_path: Path) -> None:
    read(page(Material("plain", (make_document(make_result()),))))
