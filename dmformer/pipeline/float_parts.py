"""What the float parts of an INT8 engine compute in, where a runtime would take half precision: measured.

On a CPU with bfloat16 OpenVINO computes sums, GELUs and layers left in float in it. Eight bits of mantissa can be
coarser than the integers beside them; where they are, and float32 is about as fast, the engine is opened with float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmformer import host
from dmformer.pipeline.quantizing import NOISE_IMAGES, Int8Graphs, SearchImages
from dmformer.pipeline.trial import milliseconds, opened
from dmformer.targets import get_target

if TYPE_CHECKING:
    import onnx

NOISIER, SLOWER = 2.0, 1.1
"""So many times as much noise is too much, and so many times the time is about as fast. This project's choices."""


def takes_half(target: str) -> bool:
    """Whether a target computes float parts in half precision on this machine, unless it is told not to."""
    return get_target(target).tries_half and host.has_bfloat16()


def needs_float32(int8: Int8Graphs, graph: onnx.ModelProto, images: SearchImages) -> bool:
    """Whether half precision in the float parts makes most of the noise, and saves next to no time.

    Args:
        int8: Where the graph was made.
        graph: With Q/DQ.
        images: With the reference's outputs.
    """
    few = images.fewer(NOISE_IMAGES)
    calls = {name: opened(int8.target, graph, full_precision=name == "float32") for name in ("half", "float32")}
    noise = {name: int8.measure(few, call).relative_noise for name, call in calls.items()}
    if noise["half"] < NOISIER * noise["float32"]:
        return False
    times = milliseconds(calls, int8.batch_of(few))
    return times["float32"] <= SLOWER * times["half"]
