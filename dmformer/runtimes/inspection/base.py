"""What every inspector offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle
from dmformer.model.config import ModelConfig

Product = Callable[[], NDArray[Any]]
"""Multiplies two matrices and gives the product; the array may be used again by the next call."""
Tap = Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class LayerTime:
    """One node as the runtime executed it.

    Attributes:
        name: The runtime's name for it; a fused node keeps one of the module paths that it was made of.
        kind: Its operator.
        precision: What it computed in, as ``float32``.
        ms: Milliseconds of one inference, median over several.
    """

    name: str
    kind: str
    precision: str
    ms: float


class Inspector(Protocol):
    """One runtime, looked into. `Session` stays free of all this, so that it costs nothing there."""

    def profile(self, bundle: Bundle, batches: Sequence[NDArray[Any]], threads: int) -> list[LayerTime]:
        """Runs every batch once with the runtime's profiler on, in the order of execution.

        Args:
            bundle: What to profile.
            batches: What the engine takes (`dmformer.engine_input`); the first few only warm up.
            threads: Inside one inference; 0 leaves the choice to the runtime.

        Raises:
            EngineError: The runtime cannot be profiled.
        """

    def tap(self, bundle: Bundle, nodes: Sequence[str]) -> Tap:
        """A function from a batch to the outputs of inner nodes.

        Args:
            bundle: What to run.
            nodes: Names of nodes of the exported graph, as ``stages.0.1.dma.fuse``; those that the engine has no
                tensor for are missing in the result.

        Raises:
            EngineError: The runtime cannot show its inner tensors.
        """

    def products(self, side: int, threads: int) -> dict[str, Product]:
        """Square matrix products of ``side``, one call each, by the precision that they compute in.

        Real ones are of `real_factors`, integer ones of `integer_factors` or of the real ones quantized.
        """


def real_factors(side: int) -> NDArray[np.float32]:
    """Two square matrices, float32 ``[2, side, side]``: what products are measured with."""
    return np.random.default_rng(0).standard_normal((2, side, side)).astype(np.float32)


def integer_factors(side: int) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Two square matrices of seven bits: eight would saturate on CPUs without VNNI, slower or wrong, never faster."""
    generator = np.random.default_rng(0)
    left = generator.integers(0, 127, (side, side), dtype=np.uint8)
    return left, generator.integers(-63, 64, (side, side), dtype=np.int8)


def output_nodes(config: ModelConfig) -> dict[str, str]:
    """The node behind each output, with the output's name: a runtime may call it by that."""
    names = [spec.name for spec in config.outputs(None)]
    if config.head.has_weights:
        return {"head": names[0]}
    return {f"stages.{stage}.{depth - 1}.add.1": names[stage] for stage, depth in enumerate(config.depths)}
