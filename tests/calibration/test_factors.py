"""Factors around GELUs: exact in float, worth a lot where inner channels differ, and nowhere else."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest

from dmformer.calibration import factors
from dmformer.calibration.collect import calibrate
from dmformer.calibration.factors import BEHIND, gelus_of, gelus_with_factors, rescaled, with_places
from dmformer.calibration.int8 import quantizer
from dmformer.calibration.plan import default_plan
from dmformer.calibration.ranges import Ranges
from dmformer.calibration.seams import find_seams
from dmformer.errors import DataError, ExportError
from dmformer.graph.qdq.graph import Graph
from dmformer.pipeline.trial import opened
from tests.calibration.graphs import ISA, calibration_set, canonical_graph, images, logits, sqnr

TARGETS = ("onnxruntime", "openvino", "tensorrt", "coreml")


@cache
def outliers(factor: float = 40.0) -> onnx.ModelProto:
    """The tiny network with a few inner channels of each FFN that are larger, and weigh as much less."""
    graph = Graph(canonical_graph())
    for gelu, writer in gelus_of(graph).items():
        (reader,) = graph.readers(graph.by_name[gelu].output[0])
        for name in graph.by_name[writer].input[1:]:
            graph.set_array(name, _scaled(graph.array(name), np.s_[:3], factor))
        graph.set_array(reader.input[1], _scaled(graph.array(reader.input[1]), np.s_[:, :3], 1 / factor))
    return graph.model()


def _scaled(values: Any, part: Any, factor: float) -> Any:
    values = values.copy()
    values[part] *= np.float32(factor)
    return values


@cache
def measured(worth: float = factors.WORTHWHILE) -> Ranges:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factors, "WORTHWHILE", worth)
        patch.setattr(factors, "WORTH_FLOAT", min(worth, factors.WORTH_FLOAT))
        return calibrate(outliers(), calibration_set(), "minmax")


def noise(target: str, ranges: Ranges, **plan: Any) -> float:
    model, seen = outliers(), images(16, seed=5)
    gelus = plan.get("gelus", gelus_with_factors(model, ranges.scales, before=True))
    made = quantizer(model, ranges, target, ISA).build(default_plan(model, target, gelus).int8_groups(model))
    return sqnr(logits(model, seen), opened(target, made)(seen))


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("used", [None, 1, 0], ids=["all", "one", "none"])
def test_any_positive_factors_are_exact(before: bool, used: int | None) -> None:
    model = canonical_graph()
    names = [*gelus_of(Graph(model))]
    graph, random = Graph(with_places(model, names, names)), np.random.default_rng(0)
    scales = {
        seam.name: np.exp(random.normal(0, 1, len(graph.array(graph.by_name[seam.writers[0]].input[1])))).astype(
            np.float32
        )
        for seam in find_seams(graph)
    }
    assert gelus_with_factors(model, scales) == tuple(names)
    changed = rescaled(model, scales, None if used is None else names[:used], before)
    products = [node for node in changed.graph.node if node.op_type == "Mul" and ".gelu." in node.name]
    assert len(products) == (len(names) if used is None else used) * (2 if before else 1)
    expected, result = logits(model, images(4)), logits(changed, images(4))
    assert np.abs(result - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_inner_channels_that_differ_cost_little(target: str) -> None:
    assert len(gelus_with_factors(outliers(), measured().scales)) == 4
    assert noise(target, measured()) > noise(target, measured(-1.0)) + 2


def test_where_they_bring_little_there_are_none() -> None:
    assert gelus_with_factors(outliers(), measured(-1.0).scales) == ()
    assert not [site for site in measured(-1.0).sites if site.endswith(BEHIND)]


def test_a_gelu_with_integers_of_its_own_has_none() -> None:
    kept, none = (noise("onnxruntime", ranges, gelus=()) for ranges in (measured(), measured(-1.0)))
    assert kept == pytest.approx(none, abs=1e-6), "the ranges are those of the plain values"


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_has_products_where_its_row_says(target: str) -> None:
    model, ranges = outliers(), measured()
    groups = default_plan(model, target, gelus_with_factors(model, ranges.scales, before=True)).int8_groups(model)
    made = quantizer(model, ranges, target, ISA).build(groups)
    products = [node.name for node in made.graph.node if node.op_type == "Mul" and ".gelu." in node.name]
    assert len(products) == {"onnxruntime": 8, "openvino": 4}.get(target, 0)
    assert sqnr(logits(model, images(8)), logits(made, images(8))) > 10


def test_what_gains_less_has_a_factor_where_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factors, "WORTH_FLOAT", -1.0)
    model, ranges = outliers(), calibrate(outliers(), calibration_set(), "minmax")
    assert len(gelus_with_factors(model, ranges.scales)) == 4
    assert gelus_with_factors(model, ranges.scales, before=True) == ()
    for target, count in (("onnxruntime", 0), ("openvino", 4)):
        made = quantizer(model, ranges, target, ISA).build(default_plan(model, target).int8_groups(model))
        assert sum(node.op_type == "Mul" and ".gelu." in node.name for node in made.graph.node) == count
        assert sqnr(logits(model, images(8)), logits(made, images(8))) > 10


def test_factors_from_a_file_that_do_not_fit_are_refused() -> None:
    ranges, model = measured(), outliers()
    groups = default_plan(model, "openvino").int8_groups(model)
    name = next(seam for seam in ranges.scales if seam.endswith(BEHIND))
    strange = ranges.model_copy(update={"scales": {**ranges.scales, "stages.9.0.ffn.gelu.behind": (1.0,)}})
    short = ranges.model_copy(update={"scales": {**ranges.scales, name: (1.0,)}})
    halved = ranges.model_copy(update={"sites": {k: v for k, v in ranges.sites.items() if k != name}})
    for one, kind in ((strange, DataError), (short, DataError), (halved, ExportError)):
        with pytest.raises(kind, match=r"gelu\.behind"):
            quantizer(model, one, "openvino", ISA).build(groups)
