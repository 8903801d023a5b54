"""The numerical twin of an engine that cannot run here, as a bundle that can be verified in its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmformer.bundle import Bundle, assemble
from dmformer.golden import Golden
from dmformer.graph.twin import can_open_batch, twin_of, with_open_batch
from dmformer.manifest import Manifest
from dmformer.pipeline.deciding import deciding

if TYPE_CHECKING:
    import onnx

TWIN_FILE = "twin.onnx"
TWIN_RUNTIME = "onnxruntime"


def twin_bundle(manifest: Manifest, golden: Golden, typed: onnx.ModelProto, directory: Path) -> Bundle:
    """The twin as a bundle that `dmformer.evaluation.verify.verify` can run in the place of an engine.

    Args:
        manifest: Of the bundle whose engine cannot run here, or the draft of it.
        golden: Its golden samples.
        typed: The graph that its engine is built from.
        directory: Existing scratch directory for the twin.
    """
    twin = twin_of(typed)
    ends: dict[str, Any] = {name: getattr(manifest, name) for name in ("input", "output", "more_outputs", "answer")}
    if can_open_batch(twin):
        # Thousands of images one by one take minutes; the engine's own batch plays no part in what it computes.
        twin = with_open_batch(twin)
        ends = {end: with_any_batch(spec) for end, spec in ends.items()}
    if ends["answer"] is not None and (map_ := manifest.task.class_map(manifest.output)) is not None:
        twin = deciding(twin, TWIN_RUNTIME, replace(map_, spec=ends["answer"]))
    (directory / TWIN_FILE).write_bytes(twin.SerializeToString(deterministic=True))
    runtime = manifest.runtime.model_copy(update={"name": TWIN_RUNTIME, "options": {}})
    changed = manifest.model_copy(update={"target": TWIN_RUNTIME, "runtime": runtime, **ends})
    return assemble(directory, changed, golden, {TWIN_FILE: "engine"})


def with_any_batch(spec: Any) -> Any:
    """An end of an engine, or several, or none, with the batch open."""
    if isinstance(spec, tuple):
        return tuple(map(with_any_batch, spec))
    return spec and spec.model_copy(update={"shape": (None, *spec.shape[1:])})
