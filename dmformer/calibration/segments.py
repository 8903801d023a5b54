"""Cutting a graph where few values are alive, so that parts can be run on their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from dmformer.graph.qdq.graph import Graph

if TYPE_CHECKING:
    import onnx

MOST_NODES = 24
"""A part no longer than this is a block: cut only where a single value is alive."""


@dataclass(frozen=True)
class Segment:
    """A part of a graph between two cuts.

    Attributes:
        sources: The values that are alive before it.
        targets: The values that are alive behind it: its own results, and sources that are read later.
        nodes: Names of its nodes, in order.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    nodes: tuple[str, ...]


def find_segments(graph: Graph) -> tuple[Segment, ...]:
    """Splits a graph at every value that alone is alive, and long parts again where the fewest values are.

    Fewest values and not fewest bytes: inside a block there are never fewer values, but often smaller ones, and
    a cut there would hide from an emitter what it fuses.
    """
    alive = _alive(graph)
    cuts = [0, *_cuts([len(values) for values in alive], 0, len(graph.nodes)), len(graph.nodes)]
    return tuple(
        Segment(alive[start], alive[end], tuple(node.name for node in graph.nodes[start:end]))
        for start, end in pairwise(cuts)
    )


def _alive(graph: Graph) -> list[tuple[str, ...]]:
    """The values that are read later, before the first node and behind each."""
    last = {value: index for index, node in enumerate(graph.nodes) for value in graph.data_inputs(node)}
    alive = [tuple(value for value in graph.inputs if value in last)]
    for index, node in enumerate(graph.nodes):
        alive.append(tuple(value for value in (*alive[-1], *node.output) if last.get(value, -1) > index))
    return alive


def _cuts(counts: Sequence[int], start: int, end: int) -> list[int]:
    inner = range(start + 1, end)
    fewest = min((counts[index] for index in inner), default=0)
    if not inner or (fewest > 1 and end - start <= MOST_NODES):
        return []
    cuts = [index for index in inner if counts[index] == fewest]
    deeper = [index for part in pairwise([start, *cuts, end]) for index in _cuts(counts, *part)]
    return sorted([*cuts, *deeper])


def extract(graph: Graph, segment: Segment) -> onnx.ModelProto:
    """A segment as a model of its own with open shapes.

    It reads those sources that its nodes read and gives those targets, and outputs of the graph, that they make.
    """
    from onnx import helper

    nodes = [graph.by_name[name] for name in segment.nodes]
    read = dict.fromkeys(value for node in nodes for value in node.input)
    kept = {*segment.targets, *graph.outputs}
    inputs = [value for value in segment.sources if value in read]
    outputs = [value for node in nodes for value in node.output if value in kept]
    sources, targets = (
        [helper.make_tensor_value_info(value, graph.tensors[value].elem_type, None) for value in values]
        for values in (inputs, outputs)
    )
    constants = [graph.constants[value] for value in read if value in graph.constants]
    model = graph.header()
    model.graph.CopyFrom(helper.make_graph(nodes, "segment", sources, targets, constants))
    return model
