"""INT8 bundles of which most went back to float say so wherever they are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dmformer.bundle import Bundle
from dmformer.evaluation.latency.bench import notes_on
from dmformer.evaluation.latency.candidates import Candidate
from dmformer.pipeline.verdict import in_words
from dmformer.records import few_int8
from dmformer.summary import summarize
from tests.support import edit_manifest, invoke


@pytest.mark.parametrize(
    ("integers", "total", "said"),
    [
        (4, 51, "int8: 4 of 51 groups"),
        (0, 3, "int8: 0 of 3 groups"),
        (25, 51, "int8: 25 of 51 groups"),
        (26, 51, None),
        (2, 4, None),
        (51, 51, None),
        (0, 0, None),
    ],
)
def test_few_groups_are_named_in_table_json_bench_and_report(
    integers: int, total: int, said: str | None, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    groups = {f"g{index}": "int8" if index < integers else "float" for index in range(total)}

    def as_int8(manifest: dict[str, Any]) -> None:
        manifest["precision"] |= {"requested": "int8", "groups": groups, "isa": "avx2"}

    edit_manifest(copied, as_int8)
    bundle = Bundle.load(copied)
    assert few_int8(groups) == said
    assert bundle.manifest.proof is not None
    assert summarize(bundle, bundle.manifest.proof)["named"] == (said or "int8")
    engine = Candidate("a", "bundle", str(copied), 1)
    assert notes_on(engine, False, bundle.manifest.precision) == ((said,) if said else ())
    assert notes_on(Candidate("b", "pytorch", str(copied), 1, "w.pt"), False, bundle.manifest.precision) == ()
    _, _, err = invoke(capsys, "inspect", copied)
    assert ((said or "onnxruntime int8") in " ".join(err.split())) and (("int8: " in err) == bool(said))


def test_an_fp32_bundle_has_no_groups_to_count(copied: Path) -> None:
    edit_manifest(copied, lambda manifest: manifest["precision"].update(groups={"a": "float", "b": "float"}))
    assert Bundle.load(copied).manifest.precision.named == "fp32"


@pytest.mark.parametrize(("half", "engine"), [(2.0, "--fp32"), (0.5, "--half")])
def test_the_verdict_names_the_float_engine_that_it_equals(half: float, engine: str) -> None:
    times = {"int8": 1.0, "fp32": 1.0, "half": half}
    line = in_words("openvino", times, (1, 1), "agreement 100.00%", False, "int8: 4 of 51 groups")
    assert f"int8: 4 of 51 groups, the rest is the float engine of {engine}" in line
    assert "groups" not in in_words("openvino", times, (1, 1), "agreement 100.00%", False)
