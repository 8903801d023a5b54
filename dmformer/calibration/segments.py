"""Cutting a graph at the values through which everything flows, so that parts can be run on their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dmformer.graph.qdq.graph import Graph

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Segment:
    """A part of a graph between two cuts.

    Attributes:
        source: The one value that it reads.
        target: The one value that it hands on.
        nodes: Names of its nodes, in order.
    """

    source: str
    target: str
    nodes: tuple[str, ...]


def find_segments(graph: Graph) -> tuple[Segment, ...]:
    """Splits a graph with one input and one output at every value that alone is alive at some point."""
    remaining = {
        value: len(graph.readers(value)) + (value in graph.outputs) for value in (*graph.inputs, *graph.producers)
    }
    source, alive = graph.inputs[0], {graph.inputs[0]}
    segments, nodes = [], []  # type: list[Segment], list[str]
    for node in graph.nodes:
        nodes.append(node.name)
        for value in dict.fromkeys(graph.data_inputs(node)):
            remaining[value] -= 1
            if not remaining[value]:
                alive.discard(value)
        alive.update(value for value in node.output if remaining.get(value))
        if len(alive) == 1:
            target = next(iter(alive))
            segments.append(Segment(source, target, tuple(nodes)))
            source, nodes = target, []
    return tuple(segments)


def extract(graph: Graph, segment: Segment) -> onnx.ModelProto:
    """A segment as a model of its own, of float32 values with open shapes."""
    from onnx import TensorProto, helper

    nodes = [graph.by_name[name] for name in segment.nodes]
    used = dict.fromkeys(value for node in nodes for value in node.input)
    constants = [graph.constants[value] for value in used if value in graph.constants]
    source, target = (
        helper.make_tensor_value_info(value, TensorProto.FLOAT, None) for value in (segment.source, segment.target)
    )
    proto = helper.make_graph(nodes, "segment", [source], [target], constants)
    model = graph.header()
    model.graph.CopyFrom(proto)
    return model
