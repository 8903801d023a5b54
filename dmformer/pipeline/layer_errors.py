"""Layer by layer against the reference: PyTorch where it is at hand, otherwise an FP32 bundle of the same weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle
from dmformer.errors import UsageError
from dmformer.evaluation.per_layer import LayerErrors, layer_errors, tap_points
from dmformer.pipeline.sources import demonstration_of
from dmformer.runtimes.inspection.base import Tap
from dmformer.runtimes.inspection.registry import inspector_for

if TYPE_CHECKING:
    from dmformer.model.checkpoint import Checkpoint

MODULES = {".dma.gate.sigmoid": ".dma.gate", ".add.1": ""}
"""Nodes of the graph that are the output of a module under another name."""
RELU = ".dma.relu"
TAPPED_IMAGES = 8


def errors_of(bundle: Bundle, weights: Path | None, reference: Path | None) -> LayerErrors:
    """Compares the inner tensors of a bundle on its first golden samples.

    Args:
        bundle: Whose engine to look into.
        weights: What it was made from; None tries the embedded weights and random ones.
        reference: An FP32 bundle of the same weights, used instead of PyTorch.

    Raises:
        UsageError: Nothing to compare with is at hand, or it is of other weights.
        EngineError: The runtime cannot show its inner tensors.
    """
    nodes = tap_points(bundle.manifest.source.config)
    engine = inspector_for(bundle).tap(bundle, nodes)
    right, name = reference_tap(bundle, weights, reference, nodes)
    tensors = bundle.golden().tensors[:TAPPED_IMAGES]
    batch = bundle.manifest.input.shape[0]
    if batch not in (None, 1):
        raise UsageError(
            f"{bundle.path}: takes batches of {batch}", "--per-layer needs a bundle of batch 1 or --dynamic"
        )
    return layer_errors(right, engine, tensors, nodes, name)


def reference_tap(
    bundle: Bundle, weights: Path | None, reference: Path | None, nodes: Sequence[str]
) -> tuple[Tap, str]:
    """What gives the right tensors, and its name."""
    if reference is not None:
        other = Bundle.load(reference)
        same = other.manifest.source.sha256 == bundle.manifest.source.sha256
        if not same or other.manifest.preprocessing.shape != bundle.manifest.preprocessing.shape:
            raise UsageError(f"{reference}: is of other weights or another input size than {bundle.path}")
        if other.manifest.precision.requested != "fp32":
            raise UsageError(f"{reference}: is {other.manifest.precision.requested}", "give a bundle made with --fp32")
        return inspector_for(other).tap(other, nodes), other.path.name
    checkpoint = find_checkpoint(bundle, weights)
    if checkpoint is None:
        raise UsageError(
            f"{bundle.path}: nothing is at hand to compare its layers with",
            "give --weights (with torch installed), or --reference and an FP32 bundle of the same weights",
        )
    return torch_tap(checkpoint, nodes), "PyTorch"


def find_checkpoint(bundle: Bundle, weights: Path | None) -> Checkpoint | None:
    """The bundle's weights: given, embedded, or random ones that can be drawn again; None where they are not here."""
    if find_spec("torch") is None:
        return None
    from dmformer.model.again import load_again
    from dmformer.model.random_weights import random_checkpoint

    source = bundle.manifest.source
    if weights is None and (shown := demonstration_of(source.sha256)):
        weights = shown.weights()
    if weights is not None:
        return load_again(weights, source)
    drawn = random_checkpoint(source.config)
    return drawn if drawn.digest == source.sha256 else None


def torch_tap(checkpoint: Checkpoint, nodes: Sequence[str]) -> Tap:
    """The canonical network's own tensors, which are those of the exported graph."""
    import torch

    from dmformer.model.canonical import canonicalize

    network = canonicalize(checkpoint.build())
    modules = dict(network.named_modules())
    seen: dict[str, NDArray[np.float32]] = {}

    def keep(node: str, tensor: Any) -> None:
        seen[node] = tensor.detach().numpy().copy()

    for node in nodes:
        if node.endswith(RELU):
            fuse = modules[node.removesuffix(RELU) + ".dma.fuse"]
            fuse.register_forward_pre_hook(lambda _m, given, node=node: keep(node, given[0]))
        else:
            modules[module_of(node)].register_forward_hook(lambda _m, _g, result, node=node: keep(node, result))

    def run(batch: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        with torch.inference_mode():
            network(torch.from_numpy(batch))
        return dict(seen)

    return run


def module_of(node: str) -> str:
    """The module whose output a node computes."""
    return next((node.removesuffix(end) + path for end, path in MODULES.items() if node.endswith(end)), node)
