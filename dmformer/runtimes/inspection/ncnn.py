"""ncnn, looked into: one layer after the other is asked for, so that each is timed and each blob is at hand."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle
from dmformer.errors import EngineError
from dmformer.graph.ncnn.layers import Stored
from dmformer.graph.ncnn.network import Layer, Parameter, to_text
from dmformer.graph.ncnn.weights import Array, to_bytes
from dmformer.graph.qdq.affine import channel_scales, quantize_weight
from dmformer.runtimes.inspection.base import LayerTime, Product, Tap, output_nodes, real_factors
from dmformer.runtimes.ncnn.account import precisions
from dmformer.runtimes.ncnn.engine import computed, extractor, files_of, open_files, opened

WARM_RUNS = 2
AS_COMPUTED = 1
"""A blob as its layer left it, neither unpacked nor widened."""
REACH = 127
BOUND = 4.0
"""Factors are normally distributed: nearly all of them are smaller."""


class NcnnInspector:
    """See `dmformer.runtimes.inspection.base.Inspector`."""

    def profile(self, bundle: Bundle, batches: Sequence[NDArray[Any]], threads: int) -> list[LayerTime]:
        files, net = open_files(bundle, threads)
        told = precisions(net, files)
        floating = next((name for name in told.values() if name != "int8"), "float32")
        layers = [layer for layer in files.layers if layer.inputs and layer.kind != "Split"]
        runs = [_timed(net, layers, bundle.manifest.input.name, batch) for batch in batches]
        counted = np.array(runs[WARM_RUNS:] or runs)
        return [
            LayerTime(layer.name, layer.kind, told.get(layer.name, floating), statistics.median(taken))
            for layer, taken in zip(layers, counted.T.tolist(), strict=True)
        ]

    def tap(self, bundle: Bundle, nodes: Sequence[str]) -> Tap:
        files, net = open_files(bundle, 0)
        ends = output_nodes(bundle.manifest.source.config)
        blobs = {node: name for node in nodes for name in (f"{node}:0", ends.get(node, "")) if name in files.shapes}
        taken = bundle.manifest.input.name

        def run(batch: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
            images = [computed(net, {taken: image}, list(blobs.values()), inner=True) for image in batch]
            return {node: np.stack([image[name] for image in images]) for node, name in blobs.items()}

        return run

    def products(self, side: int, threads: int) -> dict[str, Product]:
        left, right = real_factors(side)
        weight = np.ascontiguousarray(right.T)
        scales = channel_scales(weight, REACH)
        steps: list[Array] = [1 / scales, np.full(1, REACH / BOUND, np.float32)]
        return {
            "float32": _product(left, [weight], threads),
            "int8": _product(left, [quantize_weight(weight, scales, REACH), *steps], threads),
        }


def _timed(net: Any, layers: Sequence[Layer], taken: str, batch: NDArray[np.float32]) -> list[float]:
    """Milliseconds of each layer, of all images of a batch together."""
    mat, times = import_module("ncnn").Mat, np.zeros(len(layers))
    for image in batch:
        asked = extractor(net, {taken: image}, inner=True)
        for index, layer in enumerate(layers):
            begin = time.perf_counter()
            # All that it reads is there already: nothing but this layer is computed.
            code = asked.extract(layer.outputs[0], mat(), AS_COMPUTED)
            times[index] += time.perf_counter() - begin
            if code != 0:
                raise EngineError(f"ncnn cannot compute {layer.name[:80]}, error {code}")
    return list(times * 1e3)


def _product(left: NDArray[np.float32], arrays: list[Array], threads: int) -> Product:
    """A product as a 1x1 convolution, which is what most of a network is: rows are places, columns channels."""
    side = len(left)
    parameters: dict[int, Parameter] = {0: side, 1: 1, 6: side * side, 8: int(len(arrays) > 1)}
    layers = (
        Layer("Input", "left", (), ("left",), {0: side, 1: 1, 2: side}),
        Layer("Convolution", "product", ("left",), ("product",), parameters),
    )
    stored = [Stored(array.size, tagged=not index) for index, array in enumerate(arrays)]
    net = opened(files_of(to_text(layers), to_bytes(stored, arrays)), threads, {})
    places = np.ascontiguousarray(left.T)[:, None]
    return lambda: computed(net, {"left": places}, ["product"])["product"][:, 0].T
