"""What a measurement is asked to do, as data that crosses a process boundary."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dmformer.errors import UsageError

Boundary = Literal["engine", "preprocess", "file"]
BOUNDARIES: dict[Boundary, str] = {
    "engine": "the engine alone, from a preprocessed tensor in memory to logits in memory",
    "preprocess": "preprocessing and the engine, from decoded images in memory to logits",
    "file": "end to end: reading and decoding image files, preprocessing, the engine",
}
"""What is inside the measured time."""

ROUNDS = 30
MIN_SLICE_S, MAX_SLICE_S = 0.02, 0.5
PACED_FRAMES = 8


@dataclass(frozen=True)
class Settings:
    """The choices of one measurement.

    Attributes:
        duration_s: Measured seconds for each candidate, over all its slices.
        iterations: Measured calls for each candidate at least; with ``duration_s`` whichever takes longer.
        launches: How often every candidate is started anew; the duration is shared between them.
        warmup_s: Longest warm-up of one launch.
        threads: Threads inside one inference; 0 leaves them to the runtime.
        streams: Inferences at the same time.
        fps: Frames a second of a paced camera, idle in between; None asks again at once.
        boundary: What is inside the measured time.
        image: An image file to feed; None takes the bundle's golden samples.
        device: The runtime's name of a device.
        seed: Of the order in which candidates start and take their slices.
    """

    duration_s: float = 3.0
    iterations: int = 0
    launches: int = 5
    warmup_s: float = 5.0
    threads: int = 0
    streams: int = 1
    fps: float | None = None
    boundary: Boundary = "engine"
    image: str | None = None
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        if not math.isfinite(self.duration_s) or not math.isfinite(self.warmup_s):
            raise UsageError("--duration and --warmup are numbers of seconds", "for example: --duration 10")
        if self.fps is not None and self.streams > 1:
            raise UsageError("--fps and --streams exclude each other", "a camera is one stream")
        if self.boundary not in BOUNDARIES:
            raise UsageError(f"there is no boundary {self.boundary!r}", f"choose from: {', '.join(BOUNDARIES)}")

    @property
    def scenario(self) -> str:
        """In words, how frames come."""
        if self.fps is not None:
            return f"paced camera, {self.fps:g} frames a second"
        return "single stream" if self.streams == 1 else f"throughput, {self.streams} streams"

    @property
    def rounds(self) -> int:
        """Slices of each candidate in one launch."""
        return max(4, ROUNDS // self.launches)

    @property
    def slice_s(self) -> float:
        """Measured seconds of one slice."""
        if self.fps is not None:
            return max(PACED_FRAMES / self.fps, self.duration_s / self.launches / self.rounds)
        return min(MAX_SLICE_S, max(MIN_SLICE_S, self.duration_s / self.launches / self.rounds))

    @property
    def slice_calls(self) -> int:
        """Measured calls of one slice at least."""
        return max(2, -(-self.iterations // (self.launches * self.rounds)))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
