"""Fitting weights and biases to what is rounded before them: one walk through the quantized graph itself.

Segment by segment, in the order of the computation, dense weights are rounded by the inputs that they will have
(`dmformer.calibration.rounding`). Then, layer by layer, the mean output of the quantized graph is compared per channel
with that of the float graph on the same images, and the difference is taken out of the layer's bias before the next
layer is looked at (Nagel et al., arXiv 1906.04721, section 4.2; NNCF's "accurate" bias correction): shifts of the mean
add up from layer to layer.

The graph is run between places where few values are alive, and only those values of a fixed number of images, evenly
chosen from all, are kept: memory does not grow with the calibration set.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmformer.calibration.observe import Batches, alive, batch_size, rebatched
from dmformer.calibration.rounding import round_weights
from dmformer.calibration.segments import Segment, extract, find_segments
from dmformer.graph.qdq.graph import Graph
from dmformer.graph.qdq.sites import COMPUTE, group_of
from dmformer.progress import Progress, Silent

if TYPE_CHECKING:
    import onnx

Emit = Callable[["onnx.ModelProto"], "onnx.ModelProto"]
"""Writes Q/DQ into a float graph or a segment of one."""

Chunk = Mapping[str, NDArray[Any]]
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
    """The float graph with weights and biases that make its quantized form right.

    Args:
        model: The canonical, equalized float32 graph.
        emit: Gives its quantized form; also of a segment.
        int8_groups: Groups whose layers are corrected.
        batches: Calibration images; 8 to 256 are used, by their size, evenly chosen.
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
        round_weights(graph, emit(extract(graph, segment)), rounded)
        for name, value in places:
            shifted, _ = _run(emit(extract(graph, segment)), segment, [value], rounded, wanted=False)
            _shift(graph, name, _certain(means[value] - shifted[value]))
        _, rounded = _run(emit(extract(graph, segment)), segment, [], rounded)
    return graph.model()


def _images(model: onnx.ModelProto, batches: Batches) -> list[Chunk]:
    """Some of all images, evenly chosen, in chunks as the graph takes them; an incomplete last one is left out."""
    size, source = batch_size(model), model.graph.input[0].name
    kept: list[NDArray[np.float32]] = []
    stride = 1
    for number, image in enumerate(rebatched(batches(), 1)):
        if number % stride == 0:
            kept.append(image)
        # The widest cut has about as many values as twelve times the input (64 channels at a quarter of its side).
        if len(kept) > max(size, int(np.clip(KEPT_BYTES // (12 * image.nbytes), FEWEST_IMAGES, MOST_IMAGES))):
            kept, stride = kept[::2], stride * 2
    chunks = list(rebatched(kept, size))
    whole = chunks[:-1] if len(chunks) > 1 and len(chunks[-1]) < size else chunks
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
    """Means ``[images, C]`` of the given values, and, where wanted, what is alive behind the segment by chunk."""
    own = [value for value in segment.targets if value not in segment.sources] if wanted else []
    means: dict[str, list[NDArray[np.float64]]] = {value: [] for value in values}
    results: list[Chunk] = []
    for arrays in alive(model, [*values, *own], chunks):
        for value in values:
            means[value].append(arrays[value].mean(axis=tuple(range(2, arrays[value].ndim)), dtype=np.float64))
        if wanted:
            results.append({value: arrays[value] for value in segment.targets})
    return {value: np.concatenate(parts) for value, parts in means.items()}, results


def _certain(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of ``[images, C]`` over the images, less as much as may be chance: what few of them cannot tell is none.

    The factor is the positive part of James and Stein's, for each channel by itself.
    """
    mean, count = differences.mean(axis=0), len(differences)
    chance = differences.var(axis=0) / max(count - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(mean == 0, 0.0, np.maximum(0.0, 1 - chance / np.square(mean)))
    return np.asarray(mean * share if count > 1 else np.zeros_like(mean))


def _shift(graph: Graph, name: str, difference: NDArray[np.float64]) -> None:
    bias = graph.by_name[name].input[2]
    graph.set_array(bias, (graph.array(bias) + difference).astype(np.float32))
