"""The error of an engine layer by layer: how far its inner tensors are from the reference's, and where it jumps.

Tensors are compared as signal to quantization noise ratio over all golden samples. Needs no torch: the reference is
any function that gives the same tensors, PyTorch's or an FP32 bundle's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmformer.evaluation.layers.parts import part_of
from dmformer.evaluation.metrics import ratio_db
from dmformer.model.config import STAGES, ModelConfig
from dmformer.runtimes.inspection.base import Tap

JUMP_DB = 6.0
"""A loss between two neighbours of the residual stream that is named: twice the amplitude of the error."""
OWN_SCALE = (".dma.gate.sigmoid", "head")
"""Tensors that engines hold as they are. Equalization scales the channels of all others on purpose
(`dmformer.calibration.seams`), which the layers that read them undo exactly: they are compared at the best scale."""
EXACT = 1e-15
"""Share of the signal's energy below which an error is the rounding of this comparison."""


Sums = NDArray[np.float64]


@dataclass(frozen=True)
class LayerError:
    """One inner tensor.

    Attributes:
        node: The node of the exported graph that computes it.
        part: The part of the model that it belongs to.
        sqnr_db: Signal to quantization noise ratio in dB; None where the tensors are equal.
    """

    node: str
    part: str
    sqnr_db: float | None


@dataclass(frozen=True)
class LayerErrors:
    """All inner tensors in the order of the network.

    Attributes:
        reference: What they were compared with.
        layers: One for each tensor that both sides can show.
        jump: The node behind which the error first jumps; None where it grows evenly.
    """

    reference: str
    layers: tuple[LayerError, ...]
    jump: str | None


def tap_points(config: ModelConfig) -> list[str]:
    """Nodes of the exported graph whose tensors mean the same in every engine, in the order of the network."""
    nodes = ["stem.conv3"]
    for stage in range(STAGES):
        if stage:
            nodes.append(f"downsamples.{stage - 1}")
        for index in range(config.depths[stage]):
            block = f"stages.{stage}.{index}"
            inner = ("dma.expand", "dma.relu", "dma.fuse", "dma.gate.sigmoid", "ffn.conv2", "add.1")
            nodes += [f"{block}.{name}" for name in inner]
    return [*nodes, *(("head",) if config.head.has_weights else ())]


def is_stream(node: str) -> bool:
    """Whether a tensor is the residual stream itself rather than something inside a block."""
    return node.endswith(".add.1") or not node.startswith("stages.")


def layer_errors(
    reference: Tap, engine: Tap, tensors: NDArray[np.float32], nodes: Sequence[str], name: str
) -> LayerErrors:
    """Compares all tensors that both sides show.

    Args:
        reference: Gives the right tensors.
        engine: Gives the engine's.
        tensors: float32 ``[N, C, H, W]``; one image at a time is run, so that memory stays small. N is 1 or more.
        nodes: In the order of the network.
        name: What the reference is.
    """
    sums: dict[str, Sums] = {}
    for index in range(len(tensors)):
        right, outputs = reference(tensors[index : index + 1]), engine(tensors[index : index + 1])
        for node in nodes:
            if node in right and node in outputs and right[node].shape == outputs[node].shape:
                sums[node] = sums.get(node, 0.0) + products(right[node], outputs[node])
    layers = tuple(
        LayerError(node, part_of(node), ratio_db(*energies(sums[node], not node.endswith(OWN_SCALE))))
        for node in nodes
        if node in sums
    )
    return LayerErrors(name, layers, first_jump(layers))


def products(right: NDArray[np.float32], outputs: NDArray[np.float32]) -> Sums:
    """Sums over all positions of each channel: right squared, right times outputs, outputs squared; ``[3, C]``.

    Args:
        right: ``[1, C, ...]``.
        outputs: The same shape.
    """
    signal, other = (side.astype(np.float64).reshape(side.shape[1], -1) for side in (right, outputs))
    return np.stack([(signal * signal).sum(1), (signal * other).sum(1), (other * other).sum(1)])


def energies(sums: Sums, rescaled: bool) -> tuple[float, float]:
    """Energy of the signal and of the error, from the sums of all images.

    Args:
        sums: See `products`.
        rescaled: Bring each channel of the engine's tensor to the scale, one for all images, that fits best.
    """
    signal, cross, other = sums
    scale = cross / np.where(other > 0, other, 1) if rescaled else np.ones_like(cross)
    noise = (signal - 2 * scale * cross + scale * scale * other).sum()
    return float(signal.sum()), float(noise) if noise > EXACT * signal.sum() else 0.0


def first_jump(layers: Sequence[LayerError]) -> str | None:
    """The worst tensor of the first block behind which the residual stream is `JUMP_DB` worse than before it."""
    before, inner = None, []
    for layer in layers:
        if not is_stream(layer.node):
            inner.append(layer)
            continue
        now = math.inf if layer.sqnr_db is None else layer.sqnr_db
        if before is not None and before - now > JUMP_DB:
            worst = min([*inner, layer], key=lambda each: math.inf if each.sqnr_db is None else each.sqnr_db)
            return worst.node
        before, inner = now, []
    return None


def by_part(layers: Sequence[LayerError]) -> dict[str, float | None]:
    """The worst ratio of each part, in the order of the network; None where all of its tensors are equal."""
    worst: dict[str, float | None] = {}
    for layer in layers:
        known = [value for value in (worst.get(layer.part), layer.sqnr_db) if value is not None]
        worst[layer.part] = min(known) if known else None
    return worst
