"""What an index gets: a small wheel of the program, a large one of its demonstration, and a page that reads well."""

from __future__ import annotations

import json
import re
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from dmformer_demo.scenes import TEST_GROUNDS, TRAINING_GROUNDS

import dmformer
from dmformer import assets
from tests.support import ROOT

MOST_BYTES = 1 << 20
KINDS = {".py", ".typed", ".css", ".toml"}
"""Suffixes of what the program is made of; templates are sources of other projects."""
DEMONSTRATION = {
    "LICENSE-fashion-mnist",
    "__init__.py",
    "calibration-images-idx3-ubyte.gz",
    "calibration-labels-idx1-ubyte.gz",
    "dmformer-tiny-fashion-mnist.safetensors",
    "dmformer-tiny-scenes.safetensors",
    "grounds/NOTICE",
    *(f"grounds/{name}.jpg" for name in (*TRAINING_GROUNDS, *TEST_GROUNDS)),
    "py.typed",
    "scenes.py",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
}
RELATIVE = re.compile(r"\]\((?!https://|#)[^)]*\)|(?:href|src)=\"(?!https://|#)")


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def content(wheel: Path) -> set[str]:
    """Its files but those about itself."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_program_is_small_and_holds_nothing_but_itself(wheels: dict[str, Path]) -> None:
    assert wheels["dmformer"].stat().st_size < MOST_BYTES
    names = content(wheels["dmformer"])
    assert {"dmformer/__init__.py", "dmformer/py.typed", "dmformer/cli/app.py"} <= names
    assert {name.partition("/")[0] for name in names} == {"dmformer"}
    own = {name for name in names if not name.startswith("dmformer/embedding/templates/")}
    assert {Path(name).suffix for name in own} == KINDS
    tracked = {path.relative_to(ROOT).as_posix() for path in (ROOT / "dmformer").rglob("*") if path.is_file()}
    assert names == {name for name in tracked if "__pycache__" not in name}


def test_the_demonstration_holds_its_files_and_their_licence(wheels: dict[str, Path]) -> None:
    assert content(wheels["dmformer_demo"]) == {f"dmformer_demo/{name}" for name in DEMONSTRATION}
    assert metadata(wheels["dmformer_demo"]).get_all("License-File") == [
        "LICENSE",
        "dmformer_demo/LICENSE-fashion-mnist",
        "dmformer_demo/grounds/NOTICE",
    ]
    assert (ROOT / "demo" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert assets.installed()


def test_versions_are_one(wheels: dict[str, Path]) -> None:
    facts = metadata(wheels["dmformer"])
    assert {facts["Version"], metadata(wheels["dmformer_demo"])["Version"]} == {dmformer.__version__}
    pinned = f"dmformer-demo=={dmformer.__version__}; extra == "
    assert {one for one in facts.get_all("Requires-Dist", []) if "dmformer" in one} == {
        f"{pinned}'all'",
        f"{pinned}'demo'",
    }


def test_a_release_is_tried_on_every_python_that_is_promised(wheels: dict[str, Path]) -> None:
    lines = metadata(wheels["dmformer"]).get_all("Classifier", [])
    promised = [line.rpartition(":: ")[2] for line in lines if re.search(r"Python :: 3\.\d+$", line)]
    workflow = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    assert json.loads(re.findall(r"python: (\[.*\])", workflow)[0]) == promised
    assert f"for version in {' '.join(promised)};" in (ROOT / "Makefile").read_text()


def test_the_index_page_leads_somewhere(wheels: dict[str, Path]) -> None:
    for wheel in wheels.values():
        facts = metadata(wheel)
        text = facts.get_payload()
        assert facts["Description-Content-Type"] == "text/markdown"
        assert isinstance(text, str)
        assert len(text) > 200
        assert not RELATIVE.findall(text)
        links = dict(one.split(", ") for one in facts.get_all("Project-URL", []))
        assert {"Homepage", "Issues"} <= links.keys()
        assert all(link.startswith("https://") for link in links.values())
    assert {"Changelog", "Documentation"} <= dict(
        one.split(", ") for one in metadata(wheels["dmformer"]).get_all("Project-URL", [])
    ).keys()
