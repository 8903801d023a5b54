"""Running a graph in its target runtime without making a bundle of it: what searches and verdicts look at."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from dmformer.runtimes.base import Call
from dmformer.runtimes.engine import images_at_once
from dmformer.targets import get_target, load
from dmformer.tasks.base import Outputs

if TYPE_CHECKING:
    import onnx

WARM_UP_CALLS = 3
ROUNDS = 7
SLICE_S = 0.04


def opened(target: str, model: onnx.ModelProto, full_precision: bool = False) -> Call:
    """A function from a batch to outputs, in what the target's row says.

    Args:
        target: Its name.
        model: The graph.
        full_precision: Forbid half precision where that runtime has one of its own.
    """
    return cast(Call, load(get_target(target).trial)(model.SerializeToString(), full_precision))


def outputs_of(call: Call, tensors: NDArray[np.float32], batch: int | None) -> Iterator[tuple[range, Outputs]]:
    """Outputs of all images, with their numbers, a batch at a time; a fixed batch leaves out an incomplete rest."""
    size = batch or min(images_at_once(tensors.shape[2:]), len(tensors))
    padded = np.resize(tensors, (size, *tensors.shape[1:])) if len(tensors) < size else tensors
    for start in range(0, len(padded) if batch is None else len(padded) // size * size, size):
        rows = range(start, min(start + size, len(tensors)))
        yield rows, call(padded[start : start + size])[: len(rows)]


def milliseconds(calls: Mapping[str, Call], batch: NDArray[np.float32]) -> dict[str, float]:
    """Median latency of each call, in short slices taken in turn, so that drift of the machine hits all alike."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(WARM_UP_CALLS):
            call(batch)
    for _ in range(ROUNDS):
        for name, call in calls.items():
            end = time.perf_counter() + SLICE_S
            while True:
                begin = time.perf_counter()
                call(batch)
                now = time.perf_counter()
                samples[name].append(now - begin)
                if now >= end:
                    break
    return {name: statistics.median(values) * 1e3 for name, values in samples.items()}
