"""Plain arguments in Python are the options of the command line: same names, same types, same refusals."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import dmformer
from dmformer.bundle import Bundle as CheckedBundle
from dmformer.errors import DmformerError, UsageError
from dmformer.options import Leaf, leaves
from dmformer.pipeline.api_export import asked
from dmformer.pipeline.requests import BenchOptions, EmbedOptions, VerifyOptions
from tests.conftest import Exported
from tests.support import CLASSES

IN_GROUPS = (*leaves(dmformer.ToleranceOptions), *leaves(dmformer.MaskOptions))
OWN = {"weights", "target", "options", "progress"}
"""Parameters of ``export`` that are no option beside others."""


def options_of(request: type) -> dict[str, Leaf]:
    return {name.replace("-", "_"): leaf for leaf in leaves(request) for name in leaf.option.names}


@pytest.mark.parametrize("name", sorted(set(inspect.signature(dmformer.export).parameters) - OWN))
def test_a_keyword_of_export_is_an_option_with_its_type(name: str) -> None:
    leaf = options_of(dmformer.ExportOptions)[name]
    hint = get_type_hints(dmformer.export, localns={"Checkpoint": dmformer.Checkpoint})[name]
    taken = {kind for kind in get_args(hint) or (hint,) if kind is not type(None)}
    # What else says the same: a path as text, a square by its side, names in place of their file.
    ways: dict[Any, set[Any]] = {Path: {Path, str}, list[int]: {int, tuple[int, int]}}
    names = {Sequence[str]} if name == "labels" else set[Any]()
    assert taken == ways.get(leaf.typed, {leaf.typed}) | names


@pytest.mark.parametrize(
    ("function", "request_type", "grouped"),
    [
        (dmformer.verify, VerifyOptions, {each.name.replace("-", "_") for each in IN_GROUPS}),
        (dmformer.bench, BenchOptions, {each.name for each in leaves(dmformer.BenchSettings)}),
        (dmformer.embed, EmbedOptions, set()),
    ],
)
def test_every_option_of_a_command_can_be_given(
    function: Callable[..., Any], request_type: type, grouped: set[str]
) -> None:
    words = set(inspect.signature(function).parameters) - {"progress", "tolerance", "masks", "settings"}
    wanted = options_of(request_type).keys() - grouped
    assert wanted <= words
    assert words - wanted <= grouped
    for field in (name for name in words & wanted if options_of(request_type)[name].default is None):
        assert inspect.signature(function).parameters[field].default is None


def choose(*, chosen: bool = False, target: str = "onnxruntime", **words: Any) -> dmformer.ExportOptions:
    return asked(dmformer.ExportOptions(targets=(target,)), words, chosen)


def test_arguments_become_options() -> None:
    options = choose(int8=True, data="val", imgsz=[64], calibration="photos", opset=None)
    assert options == dmformer.ExportOptions(
        precision="int8", data=Path("val"), size=(64, 64), int8=dmformer.Int8Options(calibration=Path("photos"))
    )


def test_a_precision_that_nobody_chose_is_the_target_s() -> None:
    assert choose(target="coreml").precision == "fp16"
    assert choose(target="coreml", chosen=True).precision == "fp32"
    assert choose(target="coreml", int8=True).precision == "int8"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"int8": True, "half": True}, "exclude each other"),
        ({"calibration": "photos"}, "--calibration does nothing without --int8"),
        ({"imgsz": (32, 32, 32)}, "--imgsz was given 3"),
        ({"imgsz": 33}, "not divisible by 32"),
        ({"target": "tensorflow"}, "tensorflow"),
        ({"target": "all"}, "'all'"),
        ({"labels": ["one"]}, "1 labels for 10 classes"),
    ],
)
def test_what_cannot_be_is_refused_as_on_the_command_line(words: dict[str, Any], message: str, weights: Path) -> None:
    with pytest.raises(UsageError, match=message):
        dmformer.export(weights, **words)


def test_what_is_given_becomes_the_bundle(weights: Path, labelled: Path) -> None:
    names = [f"shape {index}" for index in range(CLASSES)]
    options = dmformer.ExportOptions(weights=dmformer.WeightsOptions(path=weights), batch=2)
    bundle = dmformer.export(None, "onnx", options, imgsz=(64, 32), labels=names, data=labelled, output="here")
    assert bundle.path.parent == Path("here")
    assert bundle.manifest.input.shape == (2, 3, 64, 32)
    with dmformer.load(bundle) as model:
        assert model.labels == tuple(names)
        assert isinstance(model, dmformer.Classifier)
    with pytest.raises(DmformerError, match="exists"):
        dmformer.export(weights, "onnx", imgsz=(64, 32), data=labelled, batch=2, output="here")


def test_what_would_do_nothing_is_refused(exported: Exported) -> None:
    bundle = dmformer.Bundle.load(exported("onnxruntime"))
    with pytest.raises(UsageError, match="--reference does nothing without --per-layer"):
        bundle.verify(reference=bundle.path)
    with pytest.raises(UsageError, match="--weights does nothing without --against pytorch"):
        bundle.bench(against="none", weights="best.pt")


def test_a_bundle_verifies_itself_and_stays_one(exported: Exported) -> None:
    bundle = dmformer.Bundle.load(exported("onnxruntime"))
    assert isinstance(bundle, CheckedBundle)
    document = bundle.verify(tolerance=dmformer.ToleranceOptions(min_sqnr=1e6))
    assert document.verified is False
    assert document == dmformer.verify(str(bundle.path), tolerance=dmformer.ToleranceOptions(min_sqnr=1e6))


def test_several_bundles_are_measured_and_kept(exported: Exported) -> None:
    brief = dmformer.BenchSettings(duration_s=0.05, launches=1, warmup_s=0)
    paths: list[Path | str] = [exported("onnxruntime"), str(exported("openvino"))]
    document = dmformer.bench(paths, against="none", settings=brief, threads=1, layers=False, output="bench.json")
    assert len(document.results) == 2
    assert document.settings.threads == 1
    assert Path("bench.json").read_text() == document.to_json()


def test_weights_are_told_from_a_bundle(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"dmformer\.export.* dmformer\.load_checkpoint"):
        dmformer.load(weights)
    with pytest.raises(DmformerError, match="no such directory"):
        dmformer.load(tmp_path / "nothing")


def test_an_answer_has_its_logit(exported: Exported) -> None:
    import numpy as np

    with dmformer.load(exported("onnxruntime")) as model:
        guesses = model.predict(np.zeros((9, 9, 3), np.uint8), CLASSES)[0]
    logits = np.array([guess.logit for guess in guesses])
    shares = np.exp(logits - logits.max())
    assert np.allclose(shares / shares.sum(), [guess.probability for guess in guesses])
