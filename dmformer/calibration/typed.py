"""The graph in the precision that was asked for, typed by the ranges of its values: libraries compute what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dmformer.calibration.observe import Batches
from dmformer.calibration.statistics import measure_channels
from dmformer.errors import ExportError
from dmformer.graph.float16 import to_float16
from dmformer.graph.qdq.affine import Range
from dmformer.graph.qdq.graph import Graph
from dmformer.precision import Precision
from dmformer.progress import Progress

if TYPE_CHECKING:
    import onnx

MOST_NAMED = 5


@dataclass(frozen=True)
class ScannedImages:
    """Real preprocessed images on which the range of every value is looked at.

    Attributes:
        batches: Gives a fresh pass over them; one small batch is in memory at a time, whatever their number.
        count: How many there are.
    """

    batches: Batches
    count: int


@dataclass(frozen=True)
class TypedGraph:
    """A graph that the libraries can build.

    Attributes:
        model: float32 at its ends.
        notes: What was kept in float32 because of its values, one line each.
    """

    model: onnx.ModelProto
    notes: tuple[str, ...] = ()


def typed_graph(
    model: onnx.ModelProto, images: ScannedImages, precision: Precision, progress: Progress | None = None
) -> TypedGraph:
    """Types a graph.

    Args:
        model: The canonical float32 graph, or for ``int8`` the graph with Q/DQ by `emit_tensorrt`.
        images: What is scanned for values that float16 cannot hold.
        precision: ``fp32`` leaves the graph as it is.
        progress: Watches the scan.

    Raises:
        DataError: A value is not finite for some image; the message names the layer.
        ExportError: The typed graph is not valid, or nothing could be typed.
    """
    if precision == "fp32":
        return TypedGraph(model)
    typed = to_float16(model, scan(model, images, progress))
    if len(typed.kept) == len(model.graph.node):
        raise ExportError("no layer of this model can be float16: its values are too large", "use --fp32")
    if not typed.overflowing:
        return TypedGraph(typed.model)
    names = ", ".join(typed.overflowing[:MOST_NAMED])
    more = len(typed.overflowing) - MOST_NAMED
    and_more = f" and {more} more" if more > 0 else ""
    return TypedGraph(typed.model, (f"kept in float32, beyond float16's range: {names}{and_more}",))


def scan(model: onnx.ModelProto, images: ScannedImages, progress: Progress | None = None) -> dict[str, Range]:
    """The range of every float value over real images, by node name; the input by its own."""
    graph = Graph(model)
    # What is dequantized has the range of its source, or is a weight.
    computed = [node for node in graph.nodes if node.op_type != "DequantizeLinear"]
    sites = dict(zip(graph.inputs, graph.inputs, strict=True)) | {node.name: node.output[0] for node in computed}
    floats = {site: value for site, value in sites.items() if graph.is_float(value)}
    channels = measure_channels(model, floats, images.batches, images.count, progress=progress)
    return {site: statistics.span for site, statistics in channels.items()}
