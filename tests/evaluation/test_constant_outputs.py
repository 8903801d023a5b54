"""Outputs without a signal, and figures that are none: every number that is printed or written is finite."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dmformer.bundle import Bundle, parse_manifest
from dmformer.cli.output import print_summaries
from dmformer.errors import BundleError
from dmformer.evaluation.latency.bench import accuracy
from dmformer.evaluation.tolerances import DEFAULTS, failures
from dmformer.manifest import Comparison
from dmformer.model.random_weights import random_checkpoint
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.summary import summarize
from dmformer.tasks.classification import Classification, LinearHead
from tests.conftest import Exported
from tests.documents import make_document, make_result
from tests.support import TINY, compare, invoke

NO_NUMBER = re.compile(r"\b(nan|inf|infinity)\b", re.IGNORECASE)
VALUES = [float("nan"), float("inf"), float("-inf"), 1e308, -1.0, 10**400, 5e-324]
Place = tuple[str | int, ...]
TOP1 = Classification(LinearHead()).headline


def told(found: Comparison) -> str:
    """All that a comparison is printed as."""
    json.dumps(found.model_dump(), allow_nan=False)
    return "; ".join(problem for asked in DEFAULTS.values() for problem in failures(found, asked, TOP1, as_asked=True))


EXTREME = st.sampled_from([0.0, -0.0, 1.0, 1e-45, 1e-38, 3.4e38, -3.4e38]) | st.floats(width=32, allow_nan=False)
LOGITS = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 4), st.integers(1, 7)), elements=EXTREME.filter(np.isfinite)
)


@settings(max_examples=200, deadline=None)
@given(LOGITS, st.data())
def test_finite_outputs_have_finite_figures(reference: np.ndarray[Any, Any], data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["equal", "zeros", "constant", "other"]))
    found = {
        "equal": reference.copy(),
        "zeros": np.zeros_like(reference),
        "constant": np.full_like(reference, reference.flat[0]),
        "other": np.roll(-reference, 1, axis=1),
    }[kind]
    for one, other in ((reference, found), (found, reference)):
        result = compare(one, other, np.zeros(len(one), np.int64))
        assert not NO_NUMBER.search(told(result))
        assert (result.sqnr_db is None) == np.array_equal(one, other)


def test_a_network_of_one_class_that_answers_zero_is_exported_and_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = random_checkpoint(TINY.model_copy(update={"head": LinearHead(classes=1)}), size=32, name="constant")
    state = {name: tensor.zero_() if name.startswith("head.") else tensor for name, tensor in made.state.items()}
    options = ExportOptions(targets=("onnxruntime",), golden_images=3, output=tmp_path)
    (outcome,) = export_bundles(replace(made, state=state), options)
    assert outcome.proof.passed
    (found,) = outcome.proof.comparisons
    assert (found.agreement, found.sqnr_db, found.max_abs_error) == (1.0, None, 0.0)
    proven = accuracy(outcome.bundle)
    source = tmp_path / "bench.json"
    source.write_text(make_document(make_result(accuracy=proven)).to_json())
    bundle = outcome.bundle.path
    for line in (("verify", bundle), ("inspect", bundle), ("report", tmp_path / "page.html", source, bundle)):
        code, out, err = invoke(capsys, *line)
        assert code == 0, err
        assert not NO_NUMBER.search(out + err), out + err


def places(node: Any, behind: Place = ()) -> Iterator[Place]:
    """Every number in a document."""
    if isinstance(node, int | float) and not isinstance(node, bool):
        yield behind
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield from places(value, (*behind, key))


def test_no_number_of_a_manifest_is_one_that_cannot_be_printed(
    exported: Exported, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Bundle.load(exported("onnxruntime"))
    document: dict[str, Any] = json.loads((bundle.path / "manifest.json").read_text())
    figures = {"top5": {"engine": 100.0, "reference": 99.0}}
    document["proof"]["comparisons"][0] |= {
        "max_abs_error": 0.5,
        "sqnr_db": 80.0,
        "figures": figures,
    }
    for place in places(document):
        for value in VALUES:
            changed = copy.deepcopy(document)
            node: Any = changed
            for key in place[:-1]:
                node = node[key]
            node[place[-1]] = value
            try:
                manifest = parse_manifest(changed, Path("manifest.json"))
            except BundleError as error:
                assert len(error.message) < 500 and "\n" not in error.message
                continue
            assert not isinstance(value, float) or math.isfinite(value), place
            shown = replace(bundle, manifest=manifest)
            assert accuracy(shown) is not None and manifest.proof is not None
            print_summaries([summarize(shown, manifest.proof)])
    assert not NO_NUMBER.search(capsys.readouterr().err)
