"""Rounding a layer's weights so that its output changes least, instead of each weight to its nearest code.

An error in one weight can be made good by those that are still to be rounded, as far as their inputs go together: how
far, the layer's own inputs on the calibration images say. One input after the other, each weight is rounded to where it
makes the errors before it good best, by the inputs' second moments. This is GPTQ (Frantar et al., arXiv 2210.17323,
whose order and damping these are) in its form without an inverse (Chen et al., arXiv 2507.18553). The result is a float
weight that lies on the grid of codes already: whoever quantizes it gets these codes.

Depthwise layers are left alone: their few weights have a scale for each channel and make next to no noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmformer.calibration.observe import alive
from dmformer.graph.qdq.graph import Graph, attribute
from dmformer.graph.qdq.sites import COMPUTE

if TYPE_CHECKING:
    import onnx

FEWEST_SAMPLES, SAMPLES_BY_INPUT = 1024, 4
"""How often a layer's inputs are looked at, spread over all images and positions: at least, and for each input."""
DAMPING = 0.01
"""Share of the mean second moment that is added to all: no direction is trusted to be silent."""
BLOCK = 32


@dataclass(frozen=True)
class Grid:
    """How an emitter quantizes a layer's weight.

    Attributes:
        value: Name of what the layer reads in the emitted graph.
        scales: float64 ``[out]``.
        reach: The largest code in use.
    """

    value: str
    scales: NDArray[np.float64]
    reach: int


def round_weights(graph: Graph, model: onnx.ModelProto, chunks: Sequence[Mapping[str, NDArray[Any]]]) -> None:
    """Rounds the dense weights of a part of a graph.

    Args:
        graph: The float graph: its weights are changed.
        model: The part in its quantized form.
        chunks: Batches of the part's inputs as they are in the quantized graph, by name.
    """
    emitted = Graph(model)
    nodes = [graph.by_name[name] for name in emitted.by_name if name in graph.by_name]
    grids = {node.name: grid for node in nodes if (grid := grid_of(emitted, node))}
    if not grids:
        return
    count = sum(len(chunk[model.graph.input[0].name]) for chunk in chunks)
    weights = {name: graph.by_name[name].input[1] for name in grids}
    moments = {name: Moments(graph.by_name[name], graph.array(weights[name]).shape, count) for name in grids}
    for arrays in alive(model, [grid.value for grid in grids.values()], chunks):
        for name, grid in grids.items():
            moments[name].add(arrays[grid.value])
    for name, grid in grids.items():
        weight = graph.array(weights[name])
        graph.set_array(weights[name], on_grid(weight, graph.by_name[name], grid, moments[name].sums))


def grid_of(emitted: Graph, node: onnx.NodeProto) -> Grid | None:
    """The grid of a dense layer's weight in an emitted graph; None of others, and where it is not quantized."""
    if node.op_type not in COMPUTE or attribute(node, "group", 1) > 1:
        return None
    written = emitted.by_name[node.name]
    source = emitted.producers.get(written.input[1])
    if source is None or source.op_type != "DequantizeLinear":
        return None
    codes, scales = (emitted.array(entry) for entry in source.input[:2])
    return Grid(written.input[0], scales.astype(np.float64), int(np.abs(codes.astype(np.int32)).max()))


class Moments:
    """Second moments of what the rows of a layer's weight are multiplied with.

    Args:
        node: A Conv or Gemm.
        shape: Of its weight.
        images: How many images will come.
    """

    def __init__(self, node: onnx.NodeProto, shape: tuple[int, ...], images: int) -> None:
        self._node, self._kernel = node, shape[2:]
        inputs = int(np.prod(shape[1:])) if shape[2:] or attribute(node, "transB", 0) else shape[0]
        self._each = -(-max(FEWEST_SAMPLES, SAMPLES_BY_INPUT * inputs) // images)
        self.sums: NDArray[np.float32] = np.zeros((inputs, inputs), np.float32)

    def add(self, values: NDArray[np.float32]) -> None:
        """Looks at inputs ``[n, C, H, W]``, or ``[n, C]`` of a Gemm."""
        seen = self._seen(values) if self._kernel else values[:, :, None]
        columns = np.moveaxis(seen, 0, -1).reshape(len(self.sums), -1)
        self.sums += columns @ columns.T

    def _seen(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the kernel covers at some of its places: ``[n, C, kernel positions, places]``."""
        node, (high, wide) = self._node, self._kernel
        top, left, bottom, right = attribute(node, "pads", [0, 0, 0, 0])
        (down, across), (tall, broad) = attribute(node, "strides", [1, 1]), attribute(node, "dilations", [1, 1])
        padded = np.pad(values, ((0, 0), (0, 0), (top, bottom), (left, right)))
        rows = (padded.shape[2] - (high - 1) * tall - 1) // down + 1
        columns = (padded.shape[3] - (wide - 1) * broad - 1) // across + 1
        places = np.linspace(0, rows * columns - 1, min(self._each, rows * columns)).astype(np.int64)
        y, x = np.divmod(places, columns)
        dy, dx = (grid.reshape(-1, 1) for grid in np.mgrid[:high, :wide])
        return np.asarray(padded[:, :, y * down + dy * tall, x * across + dx * broad])


def on_grid(
    weight: NDArray[np.float32], node: onnx.NodeProto, grid: Grid, moments: NDArray[np.float32]
) -> NDArray[np.float32]:
    """A layer's weight, rounded.

    Args:
        weight: float32 as the graph stores it.
        node: The layer.
        grid: How it is quantized.
        moments: `Moments.sums` of its inputs.
    """
    lying = node.op_type == "Gemm" and not attribute(node, "transB", 0)
    rows = weight.T if lying else weight
    steps = grid.scales[:, None]
    columns = np.ascontiguousarray((rows.reshape(len(rows), -1) / steps).T, np.float32)
    made = (_codes(columns, moments, grid.reach).T * steps).astype(np.float32).reshape(rows.shape)
    return np.ascontiguousarray(made.T if lying else made)


def _codes(weight: NDArray[np.float32], moments: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Codes of weights ``[inputs, rows]`` that are given in steps."""
    # The largest weight of a row decides its scale, which must come out the same: it keeps its code.
    pinned = np.abs(weight) == np.abs(weight).max(axis=0)
    order = np.argsort(-np.diagonal(moments), kind="stable")
    passing = _error_passing(moments[order][:, order])
    weight, pinned = weight[order], pinned[order]
    codes, errors = np.empty_like(weight), np.empty_like(weight)
    for start in range(0, len(order), BLOCK):
        block = slice(start, start + BLOCK)
        wanted = weight[block] + passing[:start, block].T @ errors[:start]
        for row, own in enumerate(wanted, start):
            code = np.clip(np.rint(own), -reach, reach)
            codes[row] = np.where(pinned[row], np.rint(weight[row]), code)
            errors[row] = weight[row] - codes[row]
            # Few numbers each time: a product of matrices would cost more in threads than it saves.
            wanted[row - start + 1 :] += passing[row, row + 1 : block.stop, None] * errors[row]
    return codes[np.argsort(order)]


def _error_passing(moments: NDArray[np.float32]) -> NDArray[np.float32]:
    """Upper factor of the moments with a diagonal of ones: how much of each earlier error a weight takes over."""
    scale = float(np.diagonal(moments).mean())
    if scale <= 0:
        return np.eye(len(moments), dtype=np.float32)
    damped = moments / np.float32(scale) + DAMPING * np.eye(len(moments), dtype=np.float32)
    factor = np.linalg.cholesky(damped[::-1, ::-1])[::-1, ::-1]
    return np.asarray(factor / np.diagonal(factor))
