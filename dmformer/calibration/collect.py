"""Calibration: two passes over the images, from the canonical graph to `Ranges`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dmformer.calibration.choosing import least_noise
from dmformer.calibration.clipping import Chosen, Method, choose_range
from dmformer.calibration.equalization import search_scales
from dmformer.calibration.factors import (
    BEHIND,
    gelus_of,
    rescaled,
    with_places,
    worthwhile,
)
from dmformer.calibration.observe import Batches
from dmformer.calibration.ranges import Ranges, SiteRange, graph_digest
from dmformer.calibration.seams import find_seams
from dmformer.calibration.statistics import measure_channels, measure_histograms
from dmformer.errors import DataError, UsageError
from dmformer.graph.qdq.affine import Range
from dmformer.graph.qdq.graph import Graph
from dmformer.graph.qdq.sites import activated, site_values
from dmformer.preprocessing import Preprocessing
from dmformer.progress import Progress, Silent

if TYPE_CHECKING:
    import onnx

DEFAULT_IMAGES = 256
FEWEST_WITHOUT_WARNING = 128
DEFAULT_METHOD: Chosen = "auto"
TRIED: tuple[Method, ...] = ("minmax", "mse")
REVISION = 4
"""Counts up with every change of what `calibrate` computes, so that a cache never mixes two of them."""


@dataclass(frozen=True)
class CalibrationSet:
    """The images to calibrate with; labels are never needed.

    Attributes:
        batches: Gives a fresh pass over them.
        digest: SHA-256 (hex) of their contents, as their reader defines it.
        count: How many there are.
        preprocessing: How they became tensors.
        random: Whether they are random numbers.
    """

    batches: Batches
    digest: str
    count: int
    preprocessing: Preprocessing
    random: bool = False


def check_count(available: int, wanted: int, source: str) -> list[str]:
    """Notes for the user about the number of calibration images.

    Args:
        available: Images that the source has.
        wanted: Images that were asked for.
        source: What to name.

    Raises:
        UsageError: Fewer than one was asked for.
    """
    if wanted < 1:
        raise UsageError(f"{wanted} calibration images are not possible", "give --images of at least 1")
    count = min(available, wanted)
    said = [f"{source}: {count} calibration images"]
    said += [f"{wanted} were asked for"] if available < wanted else []
    said += [f"{DEFAULT_IMAGES} or more give steadier ranges"] if count < FEWEST_WITHOUT_WARNING else []
    return ["; ".join(said)] if len(said) > 1 else []


def calibrate(
    model: onnx.ModelProto,
    images: CalibrationSet,
    method: Chosen = DEFAULT_METHOD,
    progress: Progress | None = None,
) -> Ranges:
    """Measures a canonical graph on images.

    The first pass measures channels and decides the equalization, the second one measures the equalized
    graph. One small batch is in memory at a time, whatever their number.

    Args:
        model: The canonical float32 graph.
        images: The calibration set.
        method: How a range follows from a histogram; ``auto`` tries min-max and MSE on some of the images.
        progress: Watches.

    Raises:
        DataError: Images that do not fit the model or are constant, or an activation that is not finite.
        EngineError: ONNX Runtime failed.
    """
    watch = progress or Silent()
    graph = Graph(model)
    values = site_values(graph)
    gelus = gelus_of(graph)
    # A product behind a GELU has its values until it has a factor.
    values |= {gelu + BEHIND: values[gelu] for gelu in gelus}
    places = with_places(model, gelus, gelus)
    wanted = sorted({site for seam in find_seams(Graph(places)) for site in (*seam.sites, *seam.passing)})
    channels = measure_channels(
        model, {site: values[site] for site in wanted}, _Checked(images.batches), images.count, watch
    )
    scales = worthwhile(places, gelus, search_scales(places, channels), channels)
    balanced = rescaled(model, scales)
    histograms = measure_histograms(balanced, sites_to_measure(Graph(balanced)), images.batches, images.count, watch)
    pixels = {} if images.random else dict.fromkeys(graph.inputs, pixel_range(images.preprocessing))
    choices = {
        one: {site: choose_range(histogram, span, one) for site, (histogram, span) in histograms.items()} | pixels
        for one in tried(method, images.random)
    }
    best = least_noise(balanced, choices, images.batches, images.count, images.preprocessing)
    sites = choices[best]
    return Ranges(
        model=graph_digest(model),
        images=images.digest,
        count=images.count,
        random=images.random,
        preprocessing=images.preprocessing,
        method=best,
        sites={site: SiteRange(low=_short(span.low), high=_short(span.high)) for site, span in sites.items()},
        scales={seam: tuple(float(value) for value in scale) for seam, scale in scales.items()},
    )


def tried(method: Chosen, random: bool) -> tuple[Method, ...]:
    """The methods to choose among; on random numbers there is nothing to choose."""
    if method == "auto":
        return TRIED[:1] if random else TRIED
    return (method,)


def pixel_range(preprocessing: Preprocessing) -> Range:
    """The values that preprocessed pixels can take, in the units of the tensor.

    An image has 256 levels already. A range over exactly these keeps them on the grid of the codes, where one
    chosen from a histogram would cut off the brightest pixels or shift all of them by fractions of a level.
    """
    pairs = list(zip(preprocessing.mean, preprocessing.std, strict=True))
    return Range(min(-mean / std for mean, std in pairs), max((1 - mean) / std for mean, std in pairs))


def sites_to_measure(graph: Graph) -> dict[str, str]:
    """Value by site for all that an emitter may quantize: the input, and results after their Relu if they have one."""
    sites = {name: name for name in graph.inputs}
    for node in graph.nodes:
        value = node.output[0]
        is_read = value not in graph.outputs or graph.readers(value)
        if activated(graph, node) is node and is_read and graph.is_float(value):
            sites[node.name] = value
    return sites


def _short(value: float) -> float:
    return float(f"{value:.7g}")


@dataclass(frozen=True)
class _Checked:
    """The images, refused where not one of them shows anything."""

    batches: Batches

    def __call__(self) -> Iterator[NDArray[np.float32]]:
        varied = seen = 0
        for batch in self.batches():
            flat = batch.reshape(len(batch), batch.shape[1], -1)
            varied += int((flat.max(axis=2) > flat.min(axis=2)).any(axis=1).sum())
            seen += len(batch)
            yield batch
        if seen and not varied:
            raise DataError(f"all {seen} calibration images are constant", "calibrate with images like those in use")
