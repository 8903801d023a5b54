"""Engines that decide themselves: which were asked to, and their graphs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dmformer.errors import UsageError
from dmformer.pipeline.options import ExportOptions
from dmformer.targets import get_target, load
from dmformer.tasks.base import ClassMap

if TYPE_CHECKING:
    import onnx

    from dmformer.model.checkpoint import Checkpoint


def class_map_of(target: str, checkpoint: Checkpoint, options: ExportOptions) -> ClassMap | None:
    """How the engine decides itself; None where it was not asked to.

    Raises:
        UsageError: The task has no decision of its own in a graph.
    """
    if not options.argmax:
        return None
    config, batch = checkpoint.config, None if options.dynamic else options.batch
    size = None if options.dynamic_size else checkpoint.preprocessing.size
    map_ = config.task.class_map(config.outputs(size, batch)[0])
    if map_ is None:
        raise UsageError(f"--argmax does nothing for {config.task.name}", "leave it out")
    dtype = map_.spec.dtype if get_target(target).bytes_out else "int32"
    return replace(map_, spec=map_.spec.model_copy(update={"dtype": dtype}))


def deciding(graph: onnx.ModelProto, target: str, map_: ClassMap) -> onnx.ModelProto:
    """A finished graph that decides itself, in the form that suits a target's runtime."""
    from dmformer.graph.class_map import with_class_map

    form = get_target(target).class_map
    return graph if form is None else with_class_map(graph, map_, load(form))
