"""Balancing channels before quantization: exact in float, decisive in eight bits.

One scale serves all channels of an activation, so a channel ten times smaller than the largest keeps three
bits less. At a seam (`dmformer.calibration.seams`) each channel is divided by

    s_c = reach_c ** a / weight_c ** (1 - a)

(reach: largest absolute activation, or more where the channel hardly matters on the images, see `_reach`; weight:
largest weight that reads it). Depthwise readers take a = 1, which costs them nothing. Otherwise `a` is searched: it
trades the rounding of the activation against that of the readers' weights, and the sum of both is computed from the
measured statistics. The formula makes the result independent of how a checkpoint's channels happen to be scaled. (The
form is that of Nagel et al., arXiv 1906.04721, and of SmoothQuant, arXiv 2211.10438.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dmformer.calibration.seams import Seam, find_seams
from dmformer.calibration.statistics import ChannelStatistics
from dmformer.errors import DataError
from dmformer.graph.qdq.graph import Graph, attribute

if TYPE_CHECKING:
    import onnx

EXPONENTS = tuple(float(a) for a in np.linspace(0, 1, 11))
LEVELS = 255
REACH = 127
DIGITS = 5
HEADROOM = 2.0
"""Measured on two networks: on 16 images or one class equalization lost up to 9 dB without it, 2 at most with it."""
SMALLEST = 1e-30
TINY = 1e-300
Scales = Mapping[str, NDArray[np.float32]]


def equalized(model: onnx.ModelProto, scales: Scales) -> onnx.ModelProto:
    """The same function with the channels at each seam rescaled.

    Args:
        model: The canonical float32 graph.
        scales: Positive factors float32 ``[C]`` by seam name.

    Raises:
        DataError: A seam that the model does not have, or another number of channels.
    """
    graph = Graph(model)
    seams = {seam.name: seam for seam in find_seams(graph)}
    # A fixed order, because rounding depends on it and a ranges file is sorted.
    for name, scale in sorted(scales.items()):
        if name not in seams:
            raise DataError(f"the ranges rescale {name}, which this model does not have", "calibrate this model again")
        channels = len(graph.array(graph.by_name[seams[name].writers[0]].input[1]))
        if len(scale) != channels:
            raise DataError(
                f"the ranges rescale {len(scale)} channels of {name}, which has {channels}", "calibrate again"
            )
        for writer in seams[name].writers:
            _divide_outputs(graph, writer, scale)
        for reader in seams[name].readers:
            _multiply_inputs(graph, reader, scale)
    return graph.model()


def search_scales(
    model: onnx.ModelProto, statistics: Mapping[str, ChannelStatistics]
) -> dict[str, NDArray[np.float32]]:
    """Scales for every seam of a graph.

    Args:
        model: The canonical float32 graph, not equalized.
        statistics: Of the sites of all its seams.

    Returns:
        Factors float32 ``[C]`` by seam name, rounded to five digits, so that a file holds them exactly.
    """
    graph = Graph(model)
    seams = find_seams(graph)
    return {seam.name: _search(graph, seam, seams, statistics) for seam in seams}


def relative_noise(
    model: onnx.ModelProto, scales: Scales, statistics: Mapping[str, ChannelStatistics]
) -> dict[str, float]:
    """By seam that has a scale and dense readers: their expected noise with the scale, over that without."""
    graph, noise = Graph(model), {}
    for seam in find_seams(graph):
        if seam.name in scales and not seam.depthwise:
            weights = [_columns(graph, reader) for reader in seam.readers]
            measured, passing = ([statistics[site] for site in sites] for sites in (seam.sites, seam.passing))
            plain = np.ones_like(scales[seam.name])
            with_scale, without = (_noise(weights, measured, passing, one) for one in (scales[seam.name], plain))
            noise[seam.name] = with_scale / max(without, TINY)
    return noise


def _search(
    graph: Graph, seam: Seam, seams: tuple[Seam, ...], statistics: Mapping[str, ChannelStatistics]
) -> NDArray[np.float32]:
    measured = [statistics[site] for site in seam.sites]
    passing = [statistics[site] for site in seam.passing]
    read = [_read(graph, reader, seams) for reader in seam.readers]
    reach = _reach(measured, read)
    if seam.depthwise:
        return _tidy(reach)
    weights = [_columns(graph, reader) for reader in seam.readers]
    small = np.maximum(np.max([np.abs(one).max(axis=0) / _largest(one) for one in weights], axis=0), SMALLEST)
    # Either what the readers see is balanced, or what passes to them is: both are tried.
    reaches = [reach, _reach([*measured, *passing], read)] if passing else [reach]
    candidates = [_tidy(reach**a / small ** (1 - a)) for reach in reaches for a in EXPONENTS]
    return min(candidates, key=lambda scale: _noise(weights, measured, passing, scale))


def _read(graph: Graph, reader: str, seams: tuple[Seam, ...]) -> NDArray[np.float64]:
    """Absolute weights ``[rows, C]`` by which a layer reads its channels; behind a depthwise one, its readers'."""
    own = np.abs(_columns(graph, reader))
    if not _is_depthwise(graph.by_name[reader]):
        return own
    behind = [other for seam in seams if reader in seam.writers for other in seam.readers]
    dense = [np.abs(_columns(graph, other)) for other in behind if not _is_depthwise(graph.by_name[other])]
    return np.asarray(own.max(axis=0) * (np.concatenate(dense) if dense else np.ones((1, own.shape[1]))))


def _reach(measured: list[ChannelStatistics], read: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Reaches with those of small channels raised.

    What the images show of a channel that matters little on them may be little of what it can: they may be few, or all
    of one class, and then another class wakes it. Its factor would cut all that off, though it has next to nothing to
    gain. So a channel counts as if it mattered `HEADROOM` times as much as the others do on average, if it does not
    matter more. How much it matters is its share of what the rows of a reader add up: no scale of a channel or a row
    changes that.
    """
    reach = np.max([one.reach for one in measured], axis=0).astype(np.float64)
    # By row, in the energy that the layer adds up; on average over rows, so that the shares of all channels sum up to 1
    energies = [np.square(one) / np.maximum(np.square(one * reach).sum(axis=1), TINY)[:, None] for one in read]
    unit = np.sqrt(np.max([one.mean(axis=0) for one in energies], axis=0))
    if not (unit * reach).any():
        return np.ones_like(reach)
    raised = np.maximum(reach, HEADROOM / np.sqrt(len(reach)) / np.where(unit > 0, unit, np.inf))
    # One that is silent and that nobody reads may have any.
    return np.asarray(np.where(raised > 0, raised, raised.max()))


def _largest(columns: NDArray[np.float64]) -> float:
    return max(float(np.abs(columns).max()), SMALLEST)


def _tidy(scale: NDArray[np.float64]) -> NDArray[np.float32]:
    """Largest factor 1, few digits, nothing that float32 cannot hold."""
    relative = np.maximum(scale / scale.max(), SMALLEST)
    return np.array([float(f"{value:.{DIGITS}g}") for value in relative], np.float32)


def _noise(
    weights: list[NDArray[np.float64]],
    measured: list[ChannelStatistics],
    passing: list[ChannelStatistics],
    scale: NDArray[np.float32],
) -> float:
    """Expected quantization noise of the readers' outputs over their signal, summed over readers and sites."""
    wide = scale.astype(np.float64)
    upstream = sum(_rounding(one, wide) for one in passing)
    total = 0.0
    for columns in weights:
        energy = np.square(columns).sum(axis=0)
        gain = (energy * np.square(wide)).sum()
        weight_noise = np.square(np.abs(columns * wide).max(axis=1) / REACH).sum() / 12
        for one in measured:
            rounding = gain * (_rounding(one, wide) + upstream)
            total += (rounding + weight_noise * (one.square / np.square(wide)).sum()) / max(energy @ one.square, TINY)
    return total


def _rounding(one: ChannelStatistics, scale: NDArray[np.float64]) -> float:
    """Variance of the rounding of a site in eight bits, in the units of the rescaled site."""
    low, high = float((one.low / scale).min()), float((one.high / scale).max())
    step = (max(high, 0.0) - min(low, 0.0)) / LEVELS
    return step**2 / 12


def _columns(graph: Graph, reader: str) -> NDArray[np.float64]:
    """A layer's weight as ``[rows, input channels]``; kernel positions count as rows of their own output."""
    node = graph.by_name[reader]
    weight = graph.array(node.input[1]).astype(np.float64)
    if node.op_type == "Gemm":
        return weight if attribute(node, "transB", 0) else weight.T
    if _is_depthwise(node):
        return weight.reshape(len(weight), -1).T
    return weight.transpose(0, 2, 3, 1).reshape(-1, weight.shape[1])


def _divide_outputs(graph: Graph, writer: str, scale: NDArray[np.float32]) -> None:
    node = graph.by_name[writer]
    weight = graph.array(node.input[1])
    graph.set_array(node.input[1], (weight / _along(scale, weight.ndim, 0)).astype(np.float32))
    if len(node.input) > 2:
        graph.set_array(node.input[2], (graph.array(node.input[2]) / scale).astype(np.float32))


def _multiply_inputs(graph: Graph, reader: str, scale: NDArray[np.float32]) -> None:
    node = graph.by_name[reader]
    weight = graph.array(node.input[1])
    axis = 0 if _is_depthwise(node) or (node.op_type == "Gemm" and not attribute(node, "transB", 0)) else 1
    graph.set_array(node.input[1], (weight * _along(scale, weight.ndim, axis)).astype(np.float32))


def _along(scale: NDArray[np.float32], ndim: int, axis: int) -> NDArray[np.float32]:
    return scale.reshape([-1 if index == axis else 1 for index in range(ndim)])


def _is_depthwise(node: onnx.NodeProto) -> bool:
    """Asked of the node: a dense layer that reads a single channel has weights of the same shape."""
    return bool(attribute(node, "group", 1) > 1)
