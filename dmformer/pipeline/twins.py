"""The numerical twin of an engine that cannot run here, as a bundle that can be verified in its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmformer.bundle import Bundle, assemble
from dmformer.fields import TensorSpec
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
    if can_open_batch(twin):
        # Thousands of images one by one take minutes; the engine's own batch plays no part in what it computes.
        twin, manifest = with_open_batch(twin), with_any_batch(manifest)
    if manifest.answer is not None and (map_ := manifest.task.class_map(manifest.output)) is not None:
        twin = deciding(twin, TWIN_RUNTIME, replace(map_, spec=manifest.answer))
    (directory / TWIN_FILE).write_bytes(twin.SerializeToString(deterministic=True))
    runtime = manifest.runtime.model_copy(update={"name": TWIN_RUNTIME, "options": {}})
    changed = manifest.model_copy(update={"target": TWIN_RUNTIME, "runtime": runtime})
    return assemble(directory, changed, golden, {TWIN_FILE: "engine"})


def with_any_batch(manifest: Manifest) -> Manifest:
    """The same with the batch open in all that the engine takes and gives."""

    def opened(spec: TensorSpec) -> TensorSpec:
        return spec.model_copy(update={"shape": (None, *spec.shape[1:])})

    ends: dict[str, Any] = {
        "input": opened(manifest.input),
        "output": opened(manifest.output),
        "more_outputs": tuple(map(opened, manifest.more_outputs)),
        "answer": manifest.answer and opened(manifest.answer),
    }
    return manifest.model_copy(update=ends)
