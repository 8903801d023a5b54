"""What objects and errors show of themselves: short, and with the hint that mends it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dmformer
from dmformer import errors
from dmformer.cli.app import told
from dmformer.documents import Document
from tests.conftest import Exported

LONGEST = 400
KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.DmformerError)]
MADE: dict[str, Callable[[Path, Path], Any]] = {
    "BenchSettings": lambda _weights, _bundle: dmformer.BenchSettings(),
    "Bundle": lambda _weights, bundle: dmformer.Bundle.load(bundle),
    "Checkpoint": lambda weights, _bundle: dmformer.load_checkpoint(weights),
    "Classifier": lambda _weights, bundle: dmformer.Classifier(bundle),
    "CoreMlOptions": lambda _weights, _bundle: dmformer.CoreMlOptions(),
    "EngineOptions": lambda _weights, _bundle: dmformer.EngineOptions(),
    "ExportOptions": lambda _weights, _bundle: dmformer.ExportOptions(),
    "Int8Options": lambda _weights, _bundle: dmformer.Int8Options(),
    "MaskOptions": lambda _weights, _bundle: dmformer.MaskOptions(),
    "ModelConfig": lambda _weights, _bundle: dmformer.preset("large"),
    "Predictor": lambda _weights, bundle: dmformer.Predictor(bundle),
    "Preprocessing": lambda weights, _bundle: dmformer.load_checkpoint(weights).preprocessing,
    "PreprocessingOptions": lambda _weights, _bundle: dmformer.PreprocessingOptions(),
    "Features": lambda _weights, _bundle: dmformer.Features({"c2": np.zeros((8, 8, 8), np.float32)}),
    "Segmentation": lambda _weights, _bundle: dmformer.Segmentation(np.zeros((9, 9), np.uint8), ("a",), ((0, 0, 0),)),
    "Segmenter": lambda _weights, bundle: dmformer.Segmenter(bundle),
    "ToleranceOptions": lambda _weights, _bundle: dmformer.ToleranceOptions(),
    "WeightsOptions": lambda _weights, _bundle: dmformer.WeightsOptions(),
}
"""One of each public class; a network shows its layers, as torch's do."""


def test_every_public_class_is_made() -> None:
    public = {name for name in dmformer.__all__ if isinstance(getattr(dmformer, name), type)}
    assert public - {"DMFormer"} == MADE.keys()


@pytest.mark.parametrize("name", MADE)
def test_an_object_shows_itself_in_a_line(name: str, weights: Path, exported: Exported) -> None:
    made = MADE[name](weights, exported("onnxruntime"))
    shown = repr(made)
    assert shown.startswith(f"{name}(")
    assert len(shown) < LONGEST
    assert "\n" not in shown
    if isinstance(made, dmformer.Predictor):
        made.close()


def test_what_functions_give_shows_itself_in_a_line(exported: Exported, tmp_path: Path) -> None:
    bundle = dmformer.Bundle.load(exported("onnxruntime"))
    brief = dmformer.BenchSettings(duration_s=0.05, launches=1, warmup_s=0)
    given: list[Document] = [
        bundle.verify(per_layer=True, reference=bundle.path),
        bundle.bench(against="none", settings=brief, layers=False),
        bundle.embed("python", tmp_path / "project"),
    ]
    for made in (*given, bundle.manifest, bundle.golden()):
        assert len(repr(made)) < LONGEST, type(made)
    for document in given:
        assert type(document).__name__ in repr(document)


def subclasses(kind: type) -> Iterator[type]:
    yield kind
    each: type
    for each in kind.__subclasses__():
        yield from subclasses(each)


def test_the_tree_of_errors_is_public() -> None:
    assert {kind for kind in subclasses(errors.DmformerError) if kind.__module__.startswith("dmformer")} == set(KINDS)
    assert dmformer.errors is errors


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_says_its_hint_and_the_command_line_says_it_once(
    kind: type[errors.DmformerError], capsys: pytest.CaptureFixture[str]
) -> None:
    error = kind("photo.png: no image", "give a PNG")
    assert str(error) == "photo.png: no image\n  how to mend it: give a PNG"
    assert str(kind("photo.png: no image")) == "photo.png: no image"
    assert told(error) == 2
    assert capsys.readouterr().err.count("give a PNG") == 1
