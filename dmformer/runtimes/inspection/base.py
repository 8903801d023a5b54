"""What every inspector offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle

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

    def products(self, side: int, threads: int) -> dict[str, Callable[[], object]]:
        """Square matrix products of ``side``, one call each, by the precision that they compute in."""
