"""What a public docstring says is complete and true: every parameter and field is named, every example runs."""

from __future__ import annotations

import doctest
import inspect
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dmformer
from tests.conftest import Segmented
from tests.support import CLASSES

PUBLIC = {name: getattr(dmformer, name) for name in dmformer.__all__ if callable(getattr(dmformer, name))}
METHODS = {
    f"{name}.{member}": value
    for name, owner in PUBLIC.items()
    if isinstance(owner, type) and name != "DMFormer"  # its other methods are torch's
    for member, value in inspect.getmembers(owner)
    if not member.startswith("_")
    and (getattr(value, "__module__", None) or "").startswith("dmformer")
    and callable(value)
}
FUNCTIONS = {name: value for name, value in (PUBLIC | METHODS).items() if not isinstance(value, type)}
TYPES = {name: value for name, value in PUBLIC.items() if isinstance(value, type)}
SHAPES = ("circle", "square", *(f"shape {index}" for index in range(2, CLASSES)))
SECTION = re.compile(r"^([A-Z][a-z]+):$")


def sections(docstring: str) -> dict[str, str]:
    """The text of each section by its title; what comes before is ``""``."""
    found, title = {"": ""}, ""
    for line in inspect.cleandoc(docstring).splitlines():
        if match := SECTION.match(line):
            title = match[1]
        found[title] = found.get(title, "") + line + "\n"
    return found


def entries(section: str) -> list[str]:
    return re.findall(r"^    (\w+):", section, re.MULTILINE)


def fields_of(owner: type) -> list[str]:
    """What an object of a class holds by a name of its own."""
    held = getattr(owner, "__dataclass_fields__", None) or getattr(owner, "model_fields", None) or {}
    return list(held)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_is_told_and_no_other(name: str) -> None:
    said, signature = sections(FUNCTIONS[name].__doc__ or ""), inspect.signature(FUNCTIONS[name])
    taken = [one for one in signature.parameters if one != "self"]
    assert entries(said.get("Args", "")) == taken
    assert len(said[""].strip()) > 20
    if signature.return_annotation not in (None, "None") and "." not in name:
        assert "Returns" in said
    assert "." in name or "Raises" in said


@pytest.mark.parametrize("name", TYPES)
def test_every_field_is_told(name: str) -> None:
    told = entries(sections(TYPES[name].__doc__ or "").get("Attributes", ""))
    assert not [one for one in fields_of(TYPES[name]) if one not in told]


@pytest.fixture(scope="module")
def first_hour(weights: Path, labelled: Path, segmented: Segmented, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the examples speak of: weights, images and one bundle."""
    folder = tmp_path_factory.mktemp("first-hour")
    named = replace(dmformer.load_checkpoint(weights), name="shapes", labels=SHAPES)
    dmformer.save_checkpoint(named, folder / "shapes.safetensors")
    shutil.copy(labelled, folder / "val.npz")
    dmformer.export(folder / "shapes.safetensors", data=labelled, output=folder / "build")
    shutil.copytree(segmented(), folder / "build" / "scenes-onnxruntime-fp32")
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(folder / "photo.png")
    return folder


@pytest.mark.parametrize("name", PUBLIC)
def test_an_example_runs_as_it_is_written(name: str, first_hour: Path) -> None:
    shutil.copytree(first_hour, Path.cwd(), dirs_exist_ok=True)
    found = doctest.DocTestParser().get_doctest(inspect.getdoc(PUBLIC[name]) or "", {}, name, None, 0)
    assert found.examples, "no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    runner.run(found, out=said.append)
    assert not runner.failures, "".join(said)


def test_every_property_is_told() -> None:
    properties = [
        (name, member, value)
        for name, owner in TYPES.items()
        for member, value in vars(owner).items()
        if isinstance(value, property)
    ]
    assert len(properties) > 5
    assert not [(name, member) for name, member, value in properties if not value.__doc__]


def test_help_shows_what_is_called() -> None:
    """The signature and the docstring of each public function are its own: nothing wraps it."""
    for name, function in PUBLIC.items():
        assert "args" not in inspect.signature(function).parameters, name
        assert not hasattr(function, "__wrapped__"), name
        assert "Option(" not in str(inspect.signature(function)), name
    assert "batch: int = 1" in str(inspect.signature(dmformer.ExportOptions))


def test_names_are_complete() -> None:
    assert set(dir(dmformer)) == set(dmformer.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'exprot'"):
        dmformer.exprot  # type: ignore[attr-defined]  # noqa: B018


def test_what_types_are_told_is_what_is_bound() -> None:
    """The imports for type checkers name the same things as the table that binds them late."""
    source = inspect.getsource(dmformer)
    told: dict[str, Any] = dict.fromkeys(re.findall(r"^    from [\w.]+ import (\w+) as \1$", source, re.MULTILINE))
    assert set(told) | {"__version__", "errors"} == set(dmformer.__all__)
    for module, name in re.findall(r"^    from ([\w.]+) import (\w+) as", source, re.MULTILINE):
        assert getattr(dmformer, name) is getattr(__import__(module, fromlist=[name]), name)
