"""The honest line after an INT8 export: is it worth it on this machine?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmformer.graph.half import compress_weights
from dmformer.pipeline.trial import milliseconds, opened
from dmformer.records import few_int8
from dmformer.targets import get_target

if TYPE_CHECKING:
    import onnx

    from dmformer.pipeline.quantizing import Quantized

WORTH = 1.05
"""Below five percent faster than the best float engine, INT8 is not worth its error: this project's choice."""


@dataclass(frozen=True)
class Int8Verdict:
    """INT8 beside float in the same runtime on this machine.

    Attributes:
        int8_ms: Median latency of the INT8 graph; likewise for the float ones.
        half_name: What half precision executes as: ``bfloat16`` or ``float32``.
        int8_bytes: Size of the INT8 graph; `fp32_bytes` that of the float32 one.
        line: All of it in words.
        worth_it: Whether INT8 is at least five percent faster than the best float engine.
    """

    int8_ms: float
    fp32_ms: float
    half_ms: float
    half_name: str
    int8_bytes: int
    fp32_bytes: int
    line: str
    worth_it: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def judge_int8(
    target: str, quantized: Quantized, model: onnx.ModelProto, batch: NDArray[np.float32], accuracy: str
) -> Int8Verdict:
    """Times the INT8 graph beside the float graphs in the target's runtime, in turn.

    Args:
        target: The target.
        quantized: The INT8 graph and its groups.
        model: The canonical float32 graph.
        batch: One batch of real images.
        accuracy: How the INT8 engine compares with the reference, in words.
    """
    halves = get_target(target).tries_half
    calls = {
        "int8": opened(target, quantized.graph, quantized.full_precision),
        "fp32": opened(target, model, full_precision=True),
    }
    if halves:
        calls["half"] = opened(target, compress_weights(model))
    times = milliseconds(calls, batch)
    best = min(times["fp32"], times.get("half", times["fp32"]))
    sizes = quantized.graph.ByteSize(), model.ByteSize()
    worth = best / times["int8"] >= WORTH
    return Int8Verdict(
        int8_ms=times["int8"],
        fp32_ms=times["fp32"],
        half_ms=times.get("half", times["fp32"]),
        half_name="half precision" if halves else "float32",
        int8_bytes=sizes[0],
        fp32_bytes=sizes[1],
        line=in_words(target, times, sizes, accuracy, worth, few_int8(quantized.groups)),
        worth_it=worth,
    )


def in_words(
    target: str, times: dict[str, float], sizes: tuple[int, int], accuracy: str, worth: bool, few: str | None = None
) -> str:
    """The verdict as one line; ``few`` says how little of the engine holds integers, where that is little."""
    faster = f"{times['fp32'] / times['int8']:.2f}x as fast as FP32"
    if "half" in times:
        faster += f", {times['half'] / times['int8']:.2f}x as fast as FP16"
    size = f"{sizes[1] / sizes[0]:.1f}x smaller" if sizes[0] < sizes[1] else "no smaller"
    line = f"{target} INT8 here: {times['int8']:.2f} ms, {faster}, {size}, {accuracy}"
    better = "--half" if times.get("half", times["fp32"]) < times["fp32"] else "--fp32"
    if few:
        line += f"; {few}, the rest is the float engine of {better}"
    if worth:
        return line
    return f"{line}: not worth it for speed on this machine, use {better}"
