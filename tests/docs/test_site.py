"""The site builds strictly, and its pages name every public thing; what troubleshooting quotes is really said."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe
import pytest

import dmformer
from tests.support import ROOT

DOCS = ROOT / "docs"
OF_OBJECTS = {"Attributes", "Args", "Returns", "Raises"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as ``make docs`` builds it: a broken link, or a page that nothing links to, fails."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_public_name_is_on_the_page_of_python(site: Path) -> None:
    page = (site / "reference" / "python" / "index.html").read_text()
    missing = [
        name
        for name in dmformer.__all__
        if name not in {"__version__", "errors"} and f'id="dmformer.{name}"' not in page
    ]
    assert not missing, "add them to docs/reference/python.md"


def test_every_command_and_option_is_on_the_page_of_commands(site: Path) -> None:
    page = (site / "reference" / "commands" / "index.html").read_text()
    for command in ("export", "verify", "doctor", "device-add", "device-setup"):
        assert f'<h2 id="{command}">' in page
    for option in ("--embed-preprocessing", "--no-simplify", "--min-sqnr", "--trtexec", "--per-layer", "--accept-new"):
        assert f"<code>{option}</code>" in page


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|link rel="stylesheet")[^>]+(?:src|href)="(https?://[^"]+)"', path.read_text()
        )
        assert not loaded, path


def test_what_troubleshooting_quotes_is_really_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "hooks"))
    from messages import messages

    said = {message.text for message in messages()}
    quoted = re.findall(r"^\| `([^`]+)` \|", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    assert len(quoted) > 20
    assert not [quote for quote in quoted if quote not in said]


def public() -> list[griffe.Object]:
    """Every public class and function, and the public methods of the classes."""
    package = griffe.load("dmformer", search_paths=[ROOT], resolve_aliases=True)
    things = [package[name] for name in dmformer.__all__ if name not in {"__version__", "errors"}]
    things = [thing.final_target if isinstance(thing, griffe.Alias) else thing for thing in things]
    things += package["errors"].classes.values()
    return things + [each for thing in things for each in _methods(thing)]


def _methods(thing: griffe.Object) -> Iterator[griffe.Object]:
    for each in thing.members.values():
        if isinstance(each, griffe.Function) and not each.name.startswith("_"):
            yield each


def described(thing: griffe.Object) -> set[str]:
    """The parameters and attributes that a docstring names."""
    kinds = griffe.DocstringSectionKind.parameters, griffe.DocstringSectionKind.attributes
    sections = thing.docstring.parse("google") if thing.docstring else []
    return {item.name for section in sections if section.kind in kinds for item in section.value}


@pytest.mark.parametrize("thing", public(), ids=lambda thing: str(thing.path).removeprefix("dmformer."))
def test_every_public_name_parameter_and_field_is_documented(thing: griffe.Object) -> None:
    assert thing.docstring, thing.path
    if isinstance(thing, griffe.Class):
        fields = {
            name
            for name, each in thing.members.items()
            if isinstance(each, griffe.Attribute) and each.annotation and not (each.docstring or name.startswith("_"))
        }
        assert not fields - described(thing) - {"model_config"}
    elif isinstance(thing, griffe.Function) and isinstance(thing.parent, griffe.Module):
        assert not {each.name.lstrip("*") for each in thing.parameters} - described(thing)
