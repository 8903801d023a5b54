"""What calibration measures at a site: exact ends and mean squares per channel, and histograms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dmformer.calibration.histogram import Histogram
from dmformer.calibration.observe import Batches, batch_size, run_over
from dmformer.errors import DataError
from dmformer.graph.qdq.affine import Range
from dmformer.progress import Progress, Silent

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class ChannelStatistics:
    """Extent of a site per channel over all images.

    Attributes:
        low: Minima, float32 ``[C]``.
        high: Maxima, float32 ``[C]``.
        square: Mean of the squares, float64 ``[C]``.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    square: NDArray[np.float64]

    @property
    def span(self) -> Range:
        """Ends over all channels."""
        return Range(float(self.low.min()), float(self.high.max()))

    @property
    def reach(self) -> NDArray[np.float32]:
        """Largest absolute value per channel."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


class _Running:
    def __init__(self) -> None:
        self.low: NDArray[np.float32] | None = None
        self.high: NDArray[np.float32] | None = None
        self.square: NDArray[np.float64] | float = 0.0
        self.count = 0

    def update(self, values: NDArray[np.float32]) -> None:
        # Rows of one channel are contiguous: far faster than reducing over several axes at once.
        rows = values.reshape(len(values), values.shape[1], -1)
        low, high = rows.min(axis=2).min(axis=0), rows.max(axis=2).max(axis=0)
        self.low = low if self.low is None else np.minimum(self.low, low)
        self.high = high if self.high is None else np.maximum(self.high, high)
        self.square = self.square + np.einsum("nci,nci->nc", rows, rows).sum(axis=0, dtype=np.float64)
        self.count += values.size // values.shape[1]

    def result(self) -> ChannelStatistics:
        assert self.low is not None and self.high is not None  # noqa: S101 - run_over saw an image
        return ChannelStatistics(self.low, self.high, np.asarray(self.square / self.count))


def measure_channels(
    model: onnx.ModelProto,
    sites: Mapping[str, str],
    batches: Batches,
    total: int,
    progress: Progress | None = None,
) -> dict[str, ChannelStatistics]:
    """One pass over the images for the extent of each channel.

    Args:
        model: The float32 graph.
        sites: Value name by site.
        batches: The images.
        total: How many there are, for the progress bar.
        progress: Watches.

    Raises:
        DataError: A value is not a finite number; the message names the layer.
    """
    running = {site: _Running() for site in sites}
    for values in _watched(model, sites, batches, total, progress, "measuring channels"):
        for site, value in sites.items():
            _ends(model, site, values[value], values)
            running[site].update(values[value])
    return {site: state.result() for site, state in running.items()}


def measure_histograms(
    model: onnx.ModelProto,
    sites: Mapping[str, str],
    batches: Batches,
    total: int,
    progress: Progress | None = None,
) -> dict[str, tuple[Histogram, Range]]:
    """One pass over the images for the distribution at each site: a histogram and the exact ends.

    Arguments and errors are those of `measure_channels`.
    """
    histograms = {site: Histogram() for site in sites}
    ends = {site: (np.inf, -np.inf) for site in sites}
    for values in _watched(model, sites, batches, total, progress, "measuring ranges"):
        for site, value in sites.items():
            array = values[value]
            low, high = _ends(model, site, array, values)
            histograms[site].update(array, max(abs(low), abs(high)))
            ends[site] = (min(ends[site][0], low), max(ends[site][1], high))
    return {site: (histograms[site], Range(*ends[site])) for site in sites}


def _watched(
    model: onnx.ModelProto,
    sites: Mapping[str, str],
    batches: Batches,
    total: int,
    progress: Progress | None,
    title: str,
) -> Iterator[dict[str, NDArray[np.float32]]]:
    wanted = dict.fromkeys([*sites.values(), model.graph.input[0].name])
    stream = run_over(model, list(wanted), batches)
    return (progress or Silent()).track(stream, title, -(-total // batch_size(model)))


def _ends(
    model: onnx.ModelProto, site: str, array: NDArray[np.float32], values: Mapping[str, NDArray[np.float32]]
) -> tuple[float, float]:
    """Minimum and maximum of a site's values, which must be finite."""
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        name = _first_not_finite(model, values[model.graph.input[0].name]) or site
        raise DataError(
            f"{name}: its output is not a finite number for some calibration image",
            "check the weights of this layer and the preprocessing",
        )
    return low, high


def _first_not_finite(model: onnx.ModelProto, batch: NDArray[np.float32]) -> str | None:
    """The node where a batch first becomes something else than finite numbers."""
    source: str = model.graph.input[0].name
    if not np.isfinite(batch).all():
        return source
    names: dict[str, str] = {node.output[0]: node.name for node in model.graph.node}
    arrays = next(run_over(model, list(names), lambda: [batch]))
    return next((name for value, name in names.items() if not np.isfinite(arrays[value]).all()), None)
