"""Mending the means: sequential bias correction on the quantized graph itself.

Rounding a weight shifts the mean of its layer's output, and the shifts add up from layer to layer. Layer by
layer, in the order of the computation, the mean output of the quantized graph is compared per channel with
that of the float graph on the same images, and the difference is taken out of the layer's bias before the
next layer is looked at (Nagel et al., arXiv 1906.04721, section 4.2; NNCF's "accurate" bias correction).

The graph is run in segments, between places where few values are alive, and only those values of a fixed
number of images are kept: neither time nor memory grows with the calibration set.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dmformer.calibration.observe import Batches, batch_size, open_session, rebatched, with_outputs
from dmformer.calibration.segments import Segment, extract, find_segments
from dmformer.graph.qdq.graph import Graph
from dmformer.graph.qdq.sites import COMPUTE, group_of
from dmformer.progress import Progress, Silent

if TYPE_CHECKING:
    import onnx

Emit = Callable[["onnx.ModelProto"], "onnx.ModelProto"]
"""Writes Q/DQ into a float graph or a segment of one."""

Chunk = Mapping[str, NDArray[np.generic]]
"""The values alive at a cut, for a batch of images."""
KEPT_BYTES = 2**27
"""Bound on the kept values of one cut; with the two graphs and source and target, four times this."""
FEWEST_IMAGES, MOST_IMAGES = 16, 256


def correct_biases(
    model: onnx.ModelProto,
    emit: Emit,
    int8_groups: Collection[str],
    batches: Batches,
    progress: Progress | None = None,
) -> onnx.ModelProto:
    """The float graph with biases that make its quantized form right in the mean.

    Args:
        model: The canonical, equalized float32 graph.
        emit: Gives its quantized form; also of a segment.
        int8_groups: Groups whose layers are corrected.
        batches: Calibration images; the first 16 to 256 are used, by their size.
        progress: Watches.

    Returns:
        A graph to be passed to ``emit``: no longer the same function in float.
    """
    graph = Graph(model)
    segments = find_segments(graph)
    exact = rounded = _images(model, batches)
    for segment in (progress or Silent()).track(segments, "correcting biases", len(segments)):
        places = [place for name in segment.nodes if (place := _place(graph, name, segment, int8_groups))]
        means, exact = _run(extract(graph, segment), segment, [value for _, value in places], exact)
        for name, value in places:
            shifted, _ = _run(emit(extract(graph, segment)), segment, [value], rounded, wanted=False)
            _shift(graph, name, means[value] - shifted[value])
        _, rounded = _run(emit(extract(graph, segment)), segment, [], rounded)
    return graph.model()


def _images(model: onnx.ModelProto, batches: Batches) -> list[Chunk]:
    """The first images in chunks as the graph takes them; an incomplete last chunk is left out if it can be."""
    size, source = batch_size(model), model.graph.input[0].name
    chunks = rebatched(batches(), size)
    first = next(chunks)
    # The widest cut has about as many values as twelve times the input (64 channels at a quarter of its side).
    most = int(np.clip(KEPT_BYTES // (12 * first[0].nbytes), FEWEST_IMAGES, MOST_IMAGES))
    kept = [first, *islice(chunks, max(0, most // size - 1))]
    whole = kept[:-1] if len(kept) > 1 and len(kept[-1]) < size else kept
    return [{source: chunk} for chunk in whole]


def _place(graph: Graph, name: str, segment: Segment, int8_groups: Collection[str]) -> tuple[str, str] | None:
    """A layer with a bias of its own, and the value on which its bias acts alone.

    Parallel levels share one bias, in the first of them: its effect is measured behind their sum.
    """
    node = graph.by_name[name]
    if node.op_type not in COMPUTE or len(node.input) < 3 or group_of(name) not in int8_groups:
        return None
    if len(graph.readers(node.input[2])) > 1:
        return None
    place = node
    while (following := _sum_with_levels(graph, place)) is not None and following.name in segment.nodes:
        place = following
    return name, place.output[0]


def _sum_with_levels(graph: Graph, node: onnx.NodeProto) -> onnx.NodeProto | None:
    readers = graph.readers(node.output[0])
    if len(readers) != 1 or readers[0].op_type != "Add":
        return None
    others = [graph.producers.get(value) for value in readers[0].input if value != node.output[0]]
    biasless = all(other is not None and other.op_type in COMPUTE and len(other.input) == 2 for other in others)
    return readers[0] if biasless and others else None


def _run(
    model: onnx.ModelProto, segment: Segment, values: list[str], chunks: list[Chunk], wanted: bool = True
) -> tuple[dict[str, NDArray[np.float64]], list[Chunk]]:
    """Means per channel of the given values, and (where wanted) what is alive behind the segment for every chunk."""
    inputs = [value.name for value in model.graph.input]
    own = [value for value in segment.targets if value not in segment.sources] if wanted else []
    names = [*dict.fromkeys([*values, *own])]
    session = open_session(with_outputs(model, names)) if names else None
    means: dict[str, list[NDArray[np.float64]]] = {value: [] for value in values}
    sizes: dict[str, list[int]] = {value: [] for value in values}
    results: list[Chunk] = []
    for chunk in chunks:
        arrays = session.run(names, {name: chunk[name] for name in inputs}) if session else []
        alive = {**chunk, **dict(zip(names, arrays, strict=True))}
        for value in values:
            means[value].append(alive[value].mean(axis=(0, *range(2, alive[value].ndim)), dtype=np.float64))
            sizes[value].append(len(alive[value]))
        if wanted:
            results.append({value: alive[value] for value in segment.targets})
    return {value: np.average(parts, axis=0, weights=sizes[value]) for value, parts in means.items()}, results


def _shift(graph: Graph, name: str, difference: NDArray[np.float64]) -> None:
    bias = graph.by_name[name].input[2]
    graph.set_array(bias, (graph.array(bias) + difference).astype(np.float32))
