"""What a measurement is asked to do, as data that crosses a process boundary."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from dmformer.common_options import Device, Threads, Tile
from dmformer.errors import UsageError
from dmformer.options import Option
from dmformer.signatures import Plain

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
class BenchSettings:
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
        tile: Part of a window that the next one covers again; None shows pictures to the engine as a whole.
        device: The runtime's name of a device.
        seed: Of the order in which candidates start and take their slices.

    Examples:
        >>> import dmformer
        >>> dmformer.BenchSettings(duration_s=10, streams=4).scenario
        'throughput, 4 streams'
    """

    __signature__ = Plain()

    duration_s: Annotated[float, Option("--duration", "Measured seconds for each candidate.", min=0.05)] = 3.0
    iterations: Annotated[int, Option("--iterations", "Measured calls at least; whichever takes longer.", min=0)] = 0
    launches: Annotated[int, Option("--launches", "Start every candidate so often anew.", min=1, max=30)] = 5
    warmup_s: Annotated[float, Option("--warmup", "Longest warm-up of a launch, seconds; ends when stable.", min=0)] = (
        3.0
    )
    threads: Threads = 0
    streams: Annotated[int, Option("--streams", "Inferences at the same time.", min=1, max=256)] = 1
    fps: Annotated[float | None, Option("--fps", "A camera's frames a second, idle in between.", min=0.1, max=1000)] = (
        None
    )
    boundary: Annotated[
        Boundary, Option("--boundary", "What is timed: engine, preprocess (and engine), file (to answer).")
    ] = "engine"
    image: Annotated[
        str | None, Option("--image", "An image file to feed. Default: the golden samples.", parse=str, typed=Path)
    ] = None
    tile: Tile = None
    device: Device = "cpu"
    seed: Annotated[int, Option("--seed", "Of the order in which candidates take their turns.")] = 0

    def __post_init__(self) -> None:
        if not math.isfinite(self.duration_s) or not math.isfinite(self.warmup_s):
            raise UsageError("--duration and --warmup are numbers of seconds", "for example: --duration 10")
        if self.fps is not None and self.streams > 1:
            raise UsageError("--fps and --streams exclude each other", "a camera is one stream")
        if self.tile is not None and self.boundary == "engine":
            raise UsageError("--tile is timed from pictures", "add --boundary preprocess, or --boundary file")
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
        """The choices as a JSON object, by their names."""
        return asdict(self)
