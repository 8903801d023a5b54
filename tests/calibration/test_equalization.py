"""Equalization: exact in float, and independent of how a checkpoint's channels are scaled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dmformer.calibration.collect import calibrate
from dmformer.calibration.equalization import equalized
from dmformer.calibration.factors import rescaled
from dmformer.calibration.int8 import quantizer
from dmformer.calibration.plan import default_plan
from dmformer.calibration.seams import find_seams
from dmformer.errors import DataError
from dmformer.graph.qdq.graph import Graph
from tests.calibration.graphs import (
    ISA,
    batches,
    calibration_set,
    canonical_graph,
    images,
    logits,
    scaled_channels,
    sqnr,
)
from tests.support import TINY


def test_every_kind_of_seam_is_found() -> None:
    names = {seam.name for seam in find_seams(Graph(canonical_graph()))}
    assert {"stem.conv1", "stem.conv2", "stages.0", "stages.3", "stages.2.0.dma.expand", "stages.2.0.dma.sum"} <= names
    assert len(names) == 2 + 4 + 2 * 4


@pytest.mark.parametrize("kind", ["stem", "dma.expand", "dma.sum", "stages."])
def test_any_positive_factors_are_exact(kind: str) -> None:
    graph = Graph(canonical_graph())
    random = np.random.default_rng(0)
    seams = [seam for seam in find_seams(graph) if kind in seam.name]
    factors = {
        seam.name: np.exp(random.normal(0, 1, len(graph.array(graph.by_name[seam.writers[0]].input[1])))).astype(
            np.float32
        )
        for seam in seams
    }
    changed = equalized(canonical_graph(), factors)
    expected, found = logits(canonical_graph(), images(4)), logits(changed, images(4))
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(
    "shown", [images(1), images(24) * np.array([1, 0, 0], np.float32)[:, None, None]], ids=["few", "red"]
)
def test_what_few_images_show_breaks_nothing_for_others(
    shown: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One image, or one colour: channels that sleep on them wake on others, and must not be cut off."""
    model, unseen = canonical_graph(), images(16, seed=5)
    groups = default_plan(model, "openvino").int8_groups(model)
    few = replace(calibration_set(), batches=batches(shown), count=len(shown))
    reference = logits(model, unseen)

    def noise() -> float:
        found = calibrate(model, few, "minmax")
        return sqnr(reference, logits(quantizer(model, found, "openvino", ISA).build(groups), unseen))

    ours = noise()
    monkeypatch.setattr("dmformer.calibration.collect.search_scales", lambda model, statistics: {})
    assert ours > noise() - 4, "equalization may not be what breaks it"


@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_rescaled_channels_give_the_same_integers(sigma: float) -> None:
    """The trap of the stock tools: the same function in float, but useless in eight bits."""
    results = []
    for model in (canonical_graph(), scaled_channels(canonical_graph(), sigma)):
        groups = default_plan(model, "onnxruntime").int8_groups(model)
        made = quantizer(model, calibrate(model, calibration_set(), "minmax"), "onnxruntime", ISA)
        results.append(logits(made.build(groups), images(16, seed=1)))
    plain, rescaled = results
    reference = logits(canonical_graph(), images(16, seed=1))
    assert abs(sqnr(reference, plain) - sqnr(reference, rescaled)) < 1.5
    assert sqnr(reference, rescaled) > 25


@pytest.mark.parametrize(
    "changes", [{"widths": (1, 1, 1, 1)}, {"widths": (1, 8, 1, 8), "expansion": 1}, {"stem_width": 1}]
)
def test_layers_of_a_single_channel_are_equalized_exactly_and_quantized(changes: dict[str, Any]) -> None:
    graph = canonical_graph(TINY.model_copy(update=changes))
    found = calibrate(graph, calibration_set())
    expected, result = logits(graph, images(4)), logits(rescaled(graph, found.channel_scales()), images(4))
    assert np.abs(result - expected).max() < 1e-4 * np.abs(expected).max()
    groups = default_plan(graph, "onnxruntime").int8_groups(graph)
    engine = quantizer(graph, found, "onnxruntime", ISA).corrected(groups, batches(images(4)))
    assert np.isfinite(logits(engine, images(4))).all()


def test_a_seam_that_the_model_does_not_have() -> None:
    with pytest.raises(DataError, match=r"rescale stages\.9, which this model does not have"):
        equalized(canonical_graph(), {"stages.9": np.ones(8, np.float32)})


def test_another_number_of_channels() -> None:
    with pytest.raises(DataError, match=r"rescale 3 channels of stages\.0, which has 8"):
        equalized(canonical_graph(), {"stages.0": np.ones(3, np.float32)})
