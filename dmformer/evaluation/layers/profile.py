"""Time and precision by part of the model, from the runtime's own profiler."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

from dmformer.bundle import Bundle
from dmformer.engine_input import from_images
from dmformer.evaluation.latency.settings import BenchSettings
from dmformer.evaluation.latency.workload import image_batches
from dmformer.evaluation.layers.parts import PARTS, part_of, work
from dmformer.runtimes.inspection.base import LayerTime
from dmformer.runtimes.inspection.registry import inspector_for
from dmformer.targets import get_target

LEAST_RUNS, MOST_RUNS = 12, 200
PROFILED_MACS = 20_000_000_000
"""About a second's work: small networks run more often, because single runs of their layers are mostly noise."""
SLOWEST = 8


def profile(bundle: Bundle, batch: int, settings: BenchSettings) -> dict[str, Any]:
    """The fields of `dmformer.evaluation.latency.document.Layers`, without what needs this machine's peaks.

    Raises:
        EngineError: The runtime cannot be profiled.
    """
    target = get_target(bundle.manifest.target)
    inputs = [from_images(bundle.manifest, images) for images in image_batches(bundle, batch, settings)]
    batches = list(itertools.islice(itertools.cycle(inputs), runs_of(bundle, batch)))
    layers = inspector_for(bundle).profile(bundle, batches, settings.threads)
    return {
        "source": target.profiler or f"profiler of {target.name}",
        "total_ms": sum(layer.ms for layer in layers),
        "parts": by_part(layers),
        "slowest": [
            (layer.name, layer.kind, layer.precision, layer.ms)
            for layer in sorted(layers, key=lambda layer: -layer.ms)[:SLOWEST]
        ],
        "note": "the profiler slows an inference down: read the shares, not the sum",
    }


def runs_of(bundle: Bundle, batch: int) -> int:
    """How often a model runs under the profiler."""
    height, width = bundle.manifest.preprocessing.size
    macs = sum(amount.macs for amount in work(bundle.manifest.source.config, (height, width)).values())
    return max(LEAST_RUNS, min(MOST_RUNS, PROFILED_MACS // max(1, macs * batch)))


def by_part(layers: list[LayerTime]) -> list[dict[str, Any]]:
    """The layers of each part together, in the order of the model, without parts that have none."""
    total = sum(layer.ms for layer in layers) or 1.0
    groups: dict[str, list[LayerTime]] = {part: [] for part in PARTS}
    for layer in layers:
        groups[part_of(layer.name, layer.kind)].append(layer)
    return [_summed(part, members, total) for part, members in groups.items() if members]


def _summed(part: str, members: list[LayerTime], total: float) -> dict[str, Any]:
    spent: Counter[str] = Counter()
    for layer in members:
        spent[layer.precision] += layer.ms  # type: ignore[assignment]  # milliseconds
    ms = sum(layer.ms for layer in members)
    return {
        "part": part,
        "ms": ms,
        "share": ms / total,
        "precision": {name: value / ms if ms else 1 / len(spent) for name, value in spent.most_common()},
        "layers": len(members),
    }
