"""The typed graphs that an engine for NVIDIA's libraries is built from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dmformer.calibration.typed import ScannedImages, typed_graph
from dmformer.pipeline.making import Prepared
from dmformer.pipeline.options import ExportOptions
from dmformer.progress import Progress
from dmformer.runtimes.tensorrt.levels import is_level

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class TypedGraphs:
    """One model as NVIDIA's libraries are to compute it.

    Attributes:
        model: What an engine is built from.
        groups: Its precision by layer group; empty where no group is integer.
        alternative: For INT8 by the default plan, the same with the depthwise levels in INT8 as well.
    """

    model: onnx.ModelProto
    groups: dict[str, str]
    alternative: onnx.ModelProto | None = None


def typed_graphs(target: str, prepared: Prepared, options: ExportOptions, progress: Progress) -> TypedGraphs:
    """Types the float32 graph, after Q/DQ by TensorRT's rules where INT8 is asked for.

    Raises:
        DataError: A value is not finite for some image; the message names the layer.
        ExportError: A typed graph is not valid.
    """
    if options.precision != "fp32":
        progress.say(f"float16: ranges of all values looked at on {images_of(prepared).count} images")
    if prepared.calibration is None:
        return TypedGraphs(_typed(prepared.graph, prepared, options, progress), {})
    from dmformer.graph.qdq.sites import groups_of
    from dmformer.pipeline.int8_export import int8_graphs

    int8 = int8_graphs(target, prepared, options)

    def quantized(groups: Collection[str]) -> tuple[onnx.ModelProto, dict[str, str]]:
        result = int8.make(groups, progress)
        return _typed(result.graph, prepared, options, progress), result.groups

    model, groups = quantized(int8.planned)
    levels = {group for group in groups_of(prepared.graph) if is_level(group)}
    # Somebody's own plan has decided about the levels.
    if options.int8.plan is not None or int8.planned & levels:
        return TypedGraphs(model, groups)
    return TypedGraphs(model, groups, quantized(int8.planned | levels)[0])


def _typed(graph: onnx.ModelProto, prepared: Prepared, options: ExportOptions, progress: Progress) -> onnx.ModelProto:
    typed = typed_graph(graph, images_of(prepared), options.precision, progress)
    for note in typed.notes:
        progress.say(note)
    return typed.model


def images_of(prepared: Prepared) -> ScannedImages:
    """The calibration images where there are any, otherwise the golden samples."""
    images = prepared.scanned
    if images is not None and not images.random:
        return ScannedImages(images.batches, images.count)
    return ScannedImages(lambda: [prepared.golden.tensors], len(prepared.golden.tensors))
