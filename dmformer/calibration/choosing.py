"""Which way of choosing ranges suits a network: decided by what the images show, not by one default.

Cutting off the largest values refines all others, and whether that pays depends on the network: on trained ones with
outliers it gains, on those without it loses. So the activations are rounded in each way, weights left as they are, and
the outputs compared with the float ones; on the same images made brighter as well, so that no range is chosen that only
just holds what was calibrated on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from dmformer.calibration.observe import Batches, rebatched, run_over
from dmformer.graph.qdq.affine import Range
from dmformer.graph.qdq.graph import Graph
from dmformer.graph.qdq.inputs import layer_inputs, quantize_reads
from dmformer.graph.qdq.insertion import Quantizers
from dmformer.graph.qdq.scheme import U8S8
from dmformer.graph.qdq.sites import group_of, kind_of, value_ranges
from dmformer.preprocessing import Preprocessing

if TYPE_CHECKING:
    import onnx

Name = TypeVar("Name", bound=str)
IMAGES = 8
BRIGHTER = 1.25
"""Factor on the pixels of the second look. This project's choice."""


def least_noise(
    model: onnx.ModelProto,
    choices: Mapping[Name, Mapping[str, Range]],
    batches: Batches,
    count: int,
    spec: Preprocessing,
) -> Name:
    """The choice of ranges with which the outputs change least.

    Args:
        model: The equalized float32 graph.
        choices: Ranges by site, by the choice's name; the first one wins a draw.
        batches: The calibration images; some of them, evenly chosen, are looked at.
        count: How many there are.
        spec: How they became tensors.
    """
    if len(choices) == 1:
        return next(iter(choices))
    images = _some(batches, count)
    looked = [*images, *(brighter(image, spec) for image in images)]
    exact = _outputs(model, looked)

    def noise(name: Name) -> float:
        errors = np.square(_outputs(rounding_activations(model, choices[name]), looked) - exact)
        each = errors.reshape(2, -1).sum(axis=1)
        return float(np.log(np.maximum(each, np.finfo(np.float64).tiny)).sum())

    return min(choices, key=noise)


def brighter(image: NDArray[np.float32], spec: Preprocessing) -> NDArray[np.float32]:
    """Preprocessed images ``[n, C, H, W]`` as if their pixels were `BRIGHTER`, cut off at white."""
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (spec.mean, spec.std))
    return np.asarray((np.minimum((image * std + mean) * np.float32(BRIGHTER), 1) - mean) / std)


def rounding_activations(model: onnx.ModelProto, ranges: Mapping[str, Range]) -> onnx.ModelProto:
    """The graph with the inputs of its layers rounded to eight bits; gates are integers in no plan."""
    graph = Graph(model)
    quantizers = Quantizers(graph, value_ranges(graph, ranges), U8S8)
    quantize_reads(quantizers, [one for one in graph.nodes if kind_of(group_of(one.name)) != "dma.gate"], layer_inputs)
    return quantizers.finish()


def _some(batches: Batches, count: int) -> list[NDArray[np.float32]]:
    step = max(1, count // IMAGES)
    return [image for number, image in enumerate(rebatched(batches(), 1)) if number % step == 0]


def _outputs(model: onnx.ModelProto, images: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """All outputs of all images in a row."""
    names = [value.name for value in model.graph.output]
    values: Iterator[NDArray[np.float32]] = chain.from_iterable(
        (arrays[name].reshape(-1) for name in names) for arrays in run_over(model, names, lambda: images)
    )
    return np.concatenate(list(values)).astype(np.float64)
