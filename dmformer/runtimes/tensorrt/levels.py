"""The depthwise levels of the attention: INT8 or float16, decided by timing both where a GPU is.

INT8 depthwise convolutions are rarely faster than FP16 (NVIDIA/TensorRT issues 4529, 1409, 2067), and which one is
depends on the GPU. A graph cannot be changed on a device, which has no ONNX package: so a bundle carries both graphs,
``model.onnx`` and ``alternative.onnx``, which differ in the levels alone. Where no GPU is, the levels are float16.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dmformer.bundle import Bundle, assemble
from dmformer.errors import EngineError
from dmformer.manifest import Manifest
from dmformer.progress import Progress
from dmformer.runtimes.base import EngineRequest
from dmformer.scratch import scratch_directory

ALTERNATIVE_FILE, ALTERNATIVE = "alternative.onnx", "alternative"
"""Name and role of the graph that was not, or not yet, chosen; the role is its key in `EngineRequest.build` too."""
OPTION = "depthwise_levels"
"""Key of the decision among the manifest's runtime options."""
GAIN = 1.02
"""How much faster INT8 must be: below that the rounding buys nothing. This project's choice."""
ROUNDS = 3
"""Turns in which both engines are timed; the fastest turn of each counts, because noise only adds."""

Levels = Literal["int8", "float"]


@dataclass(frozen=True)
class LevelsTiming:
    """Both engines on one GPU, in milliseconds of one inference.

    Attributes:
        half_ms: With the levels in float16.
        int8_ms: With the levels in INT8.
    """

    half_ms: float
    int8_ms: float

    @property
    def faster(self) -> Levels:
        """What to keep: float16 unless INT8 is at least two percent faster."""
        return "int8" if self.half_ms >= GAIN * self.int8_ms else "float"

    def __str__(self) -> str:
        kept = "int8" if self.faster == "int8" else "float16"
        return f"{kept}, timed here (int8 {self.int8_ms:.3f} ms, float16 {self.half_ms:.3f} ms)"


def levels_in(groups: Mapping[str, str]) -> Levels:
    """What the depthwise levels are in a manifest's precision by group."""
    return "int8" if any(precision == "int8" for group, precision in groups.items() if is_level(group)) else "float"


def is_level(group: str) -> bool:
    """Whether a group is a depthwise level, as ``stages.0.1.dma.levels.2``."""
    return ".dma.levels." in group


def with_levels(manifest: Manifest, levels: Levels) -> Manifest:
    """A manifest whose precision by group says something else about the levels."""
    groups = {name: levels if is_level(name) else given for name, given in manifest.precision.groups.items()}
    return manifest.model_copy(update={"precision": manifest.precision.model_copy(update={"groups": groups})})


def keep_faster(
    bundle: Bundle,
    request: EngineRequest,
    draft: Manifest,
    build: Callable[[EngineRequest, Manifest], Bundle],
    measure: Callable[[Bundle], float],
    progress: Progress,
) -> Bundle:
    """Builds the alternative too, times both engines in turn and leaves the faster one in the bundle.

    Args:
        bundle: The bundle with the first engine; its directory holds ``alternative.onnx``.
        request: What it was built from.
        draft: Its manifest before the build.
        build: Builds a request into its directory.
        measure: Milliseconds of one inference.
        progress: Told what was decided, or why nothing could be.
    """
    levels = levels_in(draft.precision.groups)
    other_levels: Levels = "float" if levels == "int8" else "int8"
    with scratch_directory() as scratch:
        progress.say(f"building the alternative too: depthwise levels in {other_levels}")
        options = {name: value for name, value in request.build.items() if name != ALTERNATIVE}
        wanted = replace(request, onnx=str(bundle.path / ALTERNATIVE_FILE), directory=str(scratch), build=options)
        try:
            other = build(wanted, with_levels(draft, other_levels))
            timing = timed({levels: bundle, other_levels: other}, measure)
        except EngineError as error:
            progress.say(f"the alternative is left out: {error.message}")
            return told(bundle, f"{levels}, the alternative could not be built")
        progress.say(f"depthwise levels: {timing}")
        return told(bundle if timing.faster == levels else taken_over(bundle, other), str(timing))


def timed(bundles: Mapping[Levels, Bundle], measure: Callable[[Bundle], float]) -> LevelsTiming:
    """The fastest of several turns for each of two engines; taking turns lets drift of the clock hit both."""
    best = dict.fromkeys(bundles, float("inf"))
    for _ in range(ROUNDS):
        for levels, bundle in bundles.items():
            best[levels] = min(best[levels], measure(bundle))
    return LevelsTiming(half_ms=best["float"], int8_ms=best["int8"])


def taken_over(bundle: Bundle, other: Bundle) -> Bundle:
    """The bundle with the other engine; the graph of the first one becomes the alternative."""
    graph = bundle.file("graph")
    graph.replace(bundle.path / ALTERNATIVE_FILE)
    for name in other.roles:
        shutil.copyfile(other.path / name, bundle.path / name)
    return assemble(bundle.path, other.manifest, bundle.golden(), {**other.roles, ALTERNATIVE_FILE: ALTERNATIVE})


def told(bundle: Bundle, decision: str) -> Bundle:
    """The bundle with the decision in its manifest, on disk too."""
    record = bundle.manifest.runtime
    updated = record.model_copy(update={"options": {**record.options, OPTION: decision}})
    manifest = bundle.manifest.model_copy(update={"runtime": updated})
    return assemble(bundle.path, manifest, bundle.golden(), bundle.roles)


def graph_roles(directory: Path, graph: str) -> dict[str, str]:
    """Roles of the typed graphs in a bundle's directory."""
    other = {ALTERNATIVE_FILE: ALTERNATIVE} if (directory / ALTERNATIVE_FILE).exists() else {}
    return {graph: "graph", **other}
