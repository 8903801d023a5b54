"""Factors on the inner channels of an FFN, where there is no seam: around its GELU.

The GELU is no linear function, so that no layer before it can take a factor from one behind it. But a product on each
side can: the channels that the GELU's first layer writes are divided, multiplied back before the GELU, divided again
behind it, and multiplied back in the weights that read them. Where a few inner channels are much larger than the others
that is worth two products; elsewhere there are none. A row of the target table says which of the two its runtime needs.

While the factors are looked for each product is a depthwise convolution of one pixel, so that the two places are seams
like all others (`dmformer.calibration.seams`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dmformer.calibration.equalization import Scales, equalized, relative_noise
from dmformer.calibration.statistics import ChannelStatistics
from dmformer.graph.qdq.affine import Range
from dmformer.graph.qdq.graph import Graph, attribute

if TYPE_CHECKING:
    import onnx

BEFORE, BEHIND = ".before", ".behind"
WORTHWHILE, WORTH_FLOAT = 0.8, 0.4
"""Shares of a layer's expected noise that are left with factors, from which on there is one behind a GELU, and one
before it too: with that the GELU itself is no table of integers any more. This project's choice."""


def gelus_of(graph: Graph) -> dict[str, str]:
    """The GELUs that can have factors, each with the convolution before it."""
    return {
        node.name: graph.producers[node.input[0]].name
        for node in graph.nodes
        if node.op_type == "Gelu" and _is_between_convolutions(graph, node)
    }


def _is_between_convolutions(graph: Graph, gelu: onnx.NodeProto) -> bool:
    source, readers = graph.producers.get(gelu.input[0]), graph.readers(gelu.output[0])
    if source is None or {gelu.input[0], gelu.output[0]} & {*graph.outputs} or not readers:
        return False
    alone = source.op_type == "Conv" and len(graph.readers(gelu.input[0])) == 1 and _channels(graph, source) > 1
    return alone and all(node.op_type == "Conv" and attribute(node, "group", 1) == 1 for node in readers)


def _channels(graph: Graph, convolution: onnx.NodeProto) -> int:
    weight = graph.constants.get(convolution.input[1])
    return weight.dims[0] if weight is not None else 0


def gelus_with_factors(model: onnx.ModelProto, scales: Mapping[str, object], before: bool = False) -> tuple[str, ...]:
    """The GELUs of a canonical graph for which there are factors among the scales of seams: behind them, or around."""
    gelus = gelus_of(Graph(model)).items()
    return tuple(gelu for gelu, writer in gelus if gelu + BEHIND in scales and (not before or writer in scales))


def with_places(model: onnx.ModelProto, behind: Collection[str], before: Collection[str]) -> onnx.ModelProto:
    """The same function with a depthwise convolution by ones behind some GELUs, and before some of these."""
    graph = Graph(model)
    for name in behind:
        gelu = graph.by_name[name]
        channels = _channels(graph, graph.producers[gelu.input[0]])
        if name in before:
            _insert(graph, gelu.input[0], name + BEFORE, channels)
        _insert(graph, gelu.output[0], name + BEHIND, channels)
    return graph.model()


def _insert(graph: Graph, value: str, name: str, channels: int) -> None:
    from onnx import helper

    result = f"{name}/output"
    for reader in graph.readers(value):
        reader.input[:] = [result if entry == value else entry for entry in reader.input]
    weight = graph.set_array(f"{name}.weight", np.ones((channels, 1, 1, 1), np.float32))
    graph.nodes.append(helper.make_node("Conv", [value, weight], [result], name=name, group=channels))
    graph.reindex()


def worthwhile(
    places: onnx.ModelProto,
    gelus: Mapping[str, str],
    scales: Scales,
    statistics: Mapping[str, ChannelStatistics],
) -> dict[str, NDArray[np.float32]]:
    """The scales without those of GELUs where they bring little.

    Args:
        places: The canonical float32 graph with places at all its GELUs.
        gelus: These GELUs, as `gelus_of` gives them.
        scales: Of the seams of ``places``.
        statistics: Of the sites of all its seams.
    """
    noise = relative_noise(places, scales, statistics)
    left = {gelu + BEHIND for gelu in gelus if noise.get(gelu + BEHIND, 1.0) > WORTHWHILE}
    left |= {writer for gelu, writer in gelus.items() if noise.get(gelu + BEHIND, 1.0) > WORTH_FLOAT}
    return {seam: scale for seam, scale in scales.items() if seam not in left}


def rescaled(
    model: onnx.ModelProto, scales: Scales, gelus: Collection[str] | None = None, before: bool = True
) -> onnx.ModelProto:
    """The equalized graph, with products at GELUs.

    Args:
        model: The canonical float32 graph.
        scales: Factors float32 ``[C]`` by seam, those of GELUs among them.
        gelus: The GELUs that get products: some of those with factors, or all where None.
        before: Whether those with a factor for it get one before them too.

    Raises:
        DataError: A seam that the model does not have, or another number of channels.
    """
    known = gelus_with_factors(model, scales)
    gelus = known if gelus is None else gelus
    both = set(gelus) & set(gelus_with_factors(model, scales, before=True)) if before else set()
    left = {gelu + BEHIND for gelu in known if gelu not in gelus}
    left |= {writer for gelu, writer in gelus_of(Graph(model)).items() if gelu not in both}
    made = Graph(equalized(with_places(model, gelus, both), {k: v for k, v in scales.items() if k not in left}))
    for name in [*(gelu + BEHIND for gelu in gelus), *(gelu + BEFORE for gelu in both)]:
        node = made.by_name[name]
        node.op_type = "Mul"
        del node.attribute[:]
        made.set_array(node.input[1], made.array(node.input[1]).reshape(1, -1, 1, 1))
    return made.model()


def spans_without(model: onnx.ModelProto, spans: Mapping[str, Range], before: Collection[str]) -> dict[str, Range]:
    """The ranges of a graph with products before some GELUs only: before the others a layer's own values stand."""
    plain = {
        writer: spans[gelu + BEFORE]
        for gelu, writer in gelus_of(Graph(model)).items()
        if gelu + BEFORE in spans and gelu not in before
    }
    return {**spans, **plain}
