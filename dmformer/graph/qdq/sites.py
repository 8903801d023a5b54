"""Names of what can be quantized: layer groups of the canonical graph, read from its node names.

Node names are module paths (`dmformer.graph.passes.name_nodes_by_module`): ``stages.0.1.dma.expand``.
A *site* is the output of a node (or ``image``, the graph's input) and carries one activation range. A
*group* is what a precision plan turns on or off; its name is a prefix of its nodes' names, except for
``...dma.sum`` (the additions of the levels) and ``...residual`` (both additions of a block). The GELU is a
group of its own, ``...ffn.gelu``, beside the ``...ffn`` of both layers around it. Each layer of a head is a group, and
so are the sums of each of its modules; one linear layer is ``head``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import onnx

from dmformer.graph.qdq.affine import Range
from dmformer.graph.qdq.graph import Graph

_BLOCK = re.compile(r"(stages\.\d+\.\d+)\.(.+)")
_DMA = re.compile(r"dma\.(expand|fuse|levels\.\d+|gate)")
_INNER = re.compile(r"\.(conv|\d+)$")
"""What tells nodes of one layer of a head apart."""
HEAD = "head"
COMPUTE = ("Conv", "Gemm")
ARITHMETIC = (*COMPUTE, "Add", "Mul", "GlobalAveragePool", "Sigmoid")
PLANNED = (*ARITHMETIC, "Gelu")
STEM = ("stem.conv1", "stem.conv2", "stem.conv3")
"""The three convolutions of the stem, each a group of its own."""


def group_of(node_name: str) -> str:
    """The layer group of a node."""
    match = _BLOCK.fullmatch(node_name)
    if match is None:
        head, _, rest = node_name.partition(".")
        if head in ("downsamples", "stem"):
            return f"{head}.{rest.split('.')[0]}"
        return _INNER.sub("", node_name) if head == HEAD else head
    block, inner = match.groups()
    return f"{block}.{_part_of_block(inner)}"


def _part_of_block(inner: str) -> str:
    if inner.startswith("ffn."):
        return "ffn.gelu" if inner.startswith("ffn.gelu") else "ffn"
    match = _DMA.match(inner)
    if match is not None:
        return match.group(0)
    if inner.startswith("dma.mul"):
        return "dma.mul"
    return "dma.sum" if inner.startswith("dma.") else "residual"


def groups_of(model: onnx.ModelProto) -> tuple[str, ...]:
    """All layer groups of a graph that a plan decides on, in the order of the computation."""
    return tuple(dict.fromkeys(group_of(node.name) for node in model.graph.node if node.op_type in PLANNED))


def kind_of(group: str) -> str:
    """What a group is, whichever block it belongs to: ``dma.expand``, ``ffn``, ``stem.conv1``, ``head.sum``, ..."""
    match = _BLOCK.fullmatch(group)
    if match is not None:
        return match.group(2)
    if group.startswith(f"{HEAD}.") and group.endswith(".add"):
        return f"{HEAD}.sum"
    return group if group in STEM else group.partition(".")[0]


def select(groups: Iterable[str], kinds: Iterable[str]) -> frozenset[str]:
    """The groups whose kind is one of ``kinds``, which may be patterns (``dma.levels.*``)."""
    wanted = tuple(kinds)
    return frozenset(group for group in groups if any(fnmatchcase(kind_of(group), kind) for kind in wanted))


def site_values(graph: Graph) -> dict[str, str]:
    """The value (tensor name) of each site: one per node, and the graph's input under its own name."""
    return {name: name for name in graph.inputs} | {node.name: node.output[0] for node in graph.nodes}


def value_ranges(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges by value instead of by site."""
    return {value: ranges[site] for site, value in site_values(graph).items() if site in ranges}


def activated(graph: Graph, node: onnx.NodeProto) -> onnx.NodeProto:
    """The Relu behind a node where that is its only reader, otherwise the node itself.

    Such a Relu costs nothing in integers: the range that starts at zero clips like it does.
    """
    readers = graph.readers(node.output[0])
    if len(readers) == 1 and readers[0].op_type == "Relu" and node.output[0] not in graph.outputs:
        return readers[0]
    return node
