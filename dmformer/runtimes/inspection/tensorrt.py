"""Engines of NVIDIA's libraries, looked into: the time of each layer by their own profiler (`IProfiler`).

Needs a GPU. What no GPU is needed for, the reading of names and times, is tested; the rest has not been run.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from dmformer.bundle import Bundle
from dmformer.errors import EngineError
from dmformer.runtimes.base import SessionOptions
from dmformer.runtimes.inspection.base import LayerTime, Product, Tap
from dmformer.runtimes.registry import get_runtime
from dmformer.runtimes.tensorrt.layers import Description, precision_of, read_description
from dmformer.runtimes.tensorrt.runtime import LAYERS
from dmformer.runtimes.tensorrt.session import TensorRtSession

WARM_RUNS = 2


class TensorRtInspector:
    """See `dmformer.runtimes.inspection.base.Inspector`."""

    def profile(self, bundle: Bundle, batches: Sequence[NDArray[Any]], threads: int) -> list[LayerTime]:
        with get_runtime(bundle.manifest.target).open(bundle, SessionOptions()) as session:
            if not isinstance(session, TensorRtSession):
                raise EngineError(f"{bundle.path}: its session cannot be profiled")
            runs = [session.run_profiled(batch) for batch in batches]
        return layer_times(read_description(bundle.file(LAYERS)), runs)

    def tap(self, bundle: Bundle, nodes: Sequence[str]) -> Tap:
        raise EngineError(
            f"{bundle.path}: an engine shows no inner tensors", "export --target onnxruntime and look into that"
        )

    def products(self, side: int, threads: int) -> dict[str, Product]:
        # A product alone would need an engine of its own for each precision: no share of a peak is told.
        return {}


def layer_times(description: Description, runs: Sequence[Sequence[tuple[str, float]]]) -> list[LayerTime]:
    """The layers of an engine with the median of their times, in the order of execution.

    Args:
        description: What the library says about each layer; one that it does not name keeps its own name.
        runs: Name and milliseconds of every layer, for each inference; the first few only warm up.
    """
    known = {layer.name: layer for layer in description.layers}
    times: dict[str, list[float]] = {}
    for run in runs[WARM_RUNS:] or runs:
        for name, ms in run:
            times.setdefault(name, []).append(ms)
    layers = []
    for name, taken in times.items():
        layer = known.get(name)
        nodes = layer.nodes if layer else ()
        # The node that multiplies names the part; what is fused with it is far cheaper.
        node = next((one for one in nodes if one in description.compute_nodes), next(iter(nodes), name))
        kind, precision = (layer.kind, precision_of(layer)) if layer else ("unknown", "unknown")
        layers.append(LayerTime(node, kind, precision, statistics.median(taken)))
    return layers
