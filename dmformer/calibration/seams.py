"""Where channels of a graph can be rescaled without changing what it computes.

A seam is a set of values that share their channels, joined by additions, Relus, means and what else commutes with a
positive factor per channel. Dividing channel c by ``s_c > 0`` in every layer that writes one of them and multiplying
it back in the weights of every layer that reads one is exact. It is no seam where anybody else writes or reads one of
them: an output of the graph, a concatenation, a GELU (the FFN's inner value), a layer whose weight another one shares.

In a DMFormer these are the levels' input and sum in each block, the stem's inner values, and the residual stream of
each stage with all that a head reads of it. The inside of a gate is left alone: no plan has it in integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dmformer.graph.qdq.graph import Graph, attribute
from dmformer.graph.qdq.sites import activated, group_of

if TYPE_CHECKING:
    import onnx

POOLS = ("GlobalAveragePool", "GlobalMaxPool", "AveragePool", "MaxPool")
FLATTENING = ("ReduceMean", "Squeeze")
"""Operators that leave channels only, where they act on the positions."""
COMMUTING = ("Relu", "Identity", "Resize", *POOLS)
POSITIONS = {2, 3, -2, -1}


@dataclass(frozen=True)
class Seam:
    """A place where channels can be rescaled.

    Attributes:
        name: Its name in a ranges file.
        writers: Layers whose output channels are divided by the scale.
        readers: Layers whose input channels are multiplied by it.
        sites: Node names of the values that the readers quantize: their extent decides the scale.
        depthwise: Whether the readers are depthwise, so that their weight scales absorb any factor.
        passing: Node names of the writers' own results where a runtime rounds those too: the errors pass
            through to the readers.
    """

    name: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    sites: tuple[str, ...]
    depthwise: bool = False
    passing: tuple[str, ...] = ()


def find_seams(graph: Graph) -> tuple[Seam, ...]:
    """All seams of a graph, in the order of the computation."""
    seams: list[Seam] = []
    visited: set[str] = set()
    for node in graph.nodes:
        if node.op_type == "Conv" and node.output[0] not in visited:
            values = _sharing(graph, node.output[0])
            visited |= values
            seams += _seam(graph, values)
    return tuple(seams)


def _sharing(graph: Graph, value: str) -> set[str]:
    """All values that can only be rescaled together with one of them."""
    values, waiting = set(), [value]
    while waiting:
        if (current := waiting.pop()) not in values:
            values.add(current)
            waiting += (other for node in _around(graph, current) for other in _joined(graph, node, current))
    return values


def _around(graph: Graph, value: str) -> Iterator[onnx.NodeProto]:
    yield from graph.readers(value)
    if value in graph.producers:
        yield graph.producers[value]


def _joined(graph: Graph, node: onnx.NodeProto, value: str) -> tuple[str, ...]:
    """The values of a node that a factor on ``value`` passes to; none where it is no factor on channels any more."""
    kind, result = node.op_type, node.output[0]
    values: tuple[str, ...] = ()
    if kind == "Add":
        values = (*node.input, result)
    elif kind == "Mul":
        gated = [entry for entry in node.input if not _is_gate(graph, entry)]
        values = (gated[0], result) if len(gated) == 1 else ()
    elif (kind in COMMUTING and not _crops(node)) or (kind in FLATTENING and _leaves_channels(graph, node)):
        values = (node.input[0], result)
    return values if value in values else ()


def _is_gate(graph: Graph, value: str) -> bool:
    return value in graph.producers and graph.producers[value].op_type == "Sigmoid"


def _crops(node: onnx.NodeProto) -> bool:
    """Whether a Resize fills in a constant, which no factor reaches."""
    return bool(attribute(node, "coordinate_transformation_mode", b"") == b"tf_crop_and_resize")


def _leaves_channels(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node takes positions alone away."""
    axes = node.input[1] if len(node.input) > 1 else ""
    readers = graph.readers(node.output[0])
    positions = axes in graph.constants and set(graph.array(axes).tolist()) <= POSITIONS
    return positions and all(reader.op_type == "Gemm" for reader in readers)


def _seam(graph: Graph, values: set[str]) -> Iterator[Seam]:
    """The seam of values that share their channels, where they are one."""
    inside = [node for node in graph.nodes if values & {*node.output} and _joined(graph, node, node.output[0])]
    names = {node.name for node in inside}
    writers = [node for node in graph.nodes if values & {*node.output} and node.name not in names]
    readers = [node for node in graph.nodes if values & {*node.input} and node.name not in names]
    written = {value for node in (*inside, *writers) for value in node.output}
    if not readers or values & {*graph.outputs} or values - written or _is_inside_gate(graph, readers):
        return
    channels = {_written(graph, node) for node in writers} | {_read(graph, node, values) for node in readers}
    if len(channels) != 1 or None in channels:
        return
    sites = tuple(dict.fromkeys(_site(graph, reader) for reader in readers))
    # In a stream that is read at several points the additions are residual, which stay in float.
    terms = [*writers, *(node for node in inside if node.op_type == "Add")] if len(sites) == 1 else []
    yield Seam(
        _label(writers, inside),
        tuple(node.name for node in writers),
        tuple(node.name for node in readers),
        sites,
        all(attribute(node, "group", 1) > 1 for node in readers),
        tuple(node.name for node in terms if activated(graph, node).name not in sites),
    )


def _is_inside_gate(graph: Graph, readers: Iterable[onnx.NodeProto]) -> bool:
    following = [node for reader in readers for node in graph.readers(reader.output[0])]
    return bool(following) and all(node.op_type == "Sigmoid" for node in following)


def _written(graph: Graph, node: onnx.NodeProto) -> int | None:
    """Channels that a layer writes; None where it is none whose weights alone decide them."""
    if node.op_type != "Conv" or not all(_is_own(graph, entry) for entry in node.input[1:] if entry):
        return None
    dims = graph.constants[node.input[1]].dims
    return int(dims[0]) if len(dims) == 4 else None


def _read(graph: Graph, node: onnx.NodeProto, values: set[str]) -> int | None:
    """Channels that a layer reads; None where it is none whose weight can take a factor back."""
    if node.op_type not in ("Conv", "Gemm") or values & {*node.input[1:]} or not _is_own(graph, node.input[1]):
        return None
    dims = tuple(graph.constants[node.input[1]].dims)
    if node.op_type == "Gemm":
        return None if attribute(node, "transA", 0) else int(dims[1 if attribute(node, "transB", 0) else 0])
    group = attribute(node, "group", 1)
    if group == 1:
        return int(dims[1])
    return group if dims[:2] == (group, 1) else None


def _is_own(graph: Graph, constant: str) -> bool:
    """Whether a name is a constant that one node alone reads."""
    return constant in graph.constants and len(graph.readers(constant)) == 1 and constant not in graph.outputs


def _site(graph: Graph, reader: onnx.NodeProto) -> str:
    """The node whose output a reader quantizes, seen through means and reshaping."""
    node = graph.producers[reader.input[0]]
    while node.op_type in (*POOLS, *FLATTENING):
        node = graph.producers[node.input[0]]
    return node.name


def _label(writers: list[onnx.NodeProto], inside: list[onnx.NodeProto]) -> str:
    """A seam's name: its layer's, the stage of a residual stream, a block's ``dma.sum``, or its first addition's."""
    first = next((node.name for node in inside if node.op_type == "Add"), writers[0].name)
    if len(writers) == 1:
        return writers[0].name
    stage, _, part = group_of(first).rpartition(".")
    if part == "residual":
        return stage.rpartition(".")[0]
    return group_of(first) if part == "sum" else first
