"""Where channels of the canonical graph can be rescaled without changing what it computes.

At a seam some layers write a value and others read it, with nothing in between but additions, a Relu or a
mean: dividing channel c by ``s_c > 0`` in the writers' outputs and multiplying it back in the readers'
weights is exact. The seams of a DMFormer (the first two are `docs`' and the paper's structure, the stem and
stream follow from the same algebra):

- ``...dma.expand``: expand -> depthwise levels; no non-linearity, and the levels' own scales absorb ``s``;
- ``...dma.sum``: levels -> sum -> Relu -> fuse;
- ``stages.N``: the residual stream of a stage. Stem or downsampling, every fuse and every second FFN layer
  write it; every expand, gate, first FFN layer and the next downsampling or the classifier read it;
- ``stem.conv1``, ``stem.conv2``: convolution -> Relu -> convolution.

The FFN's inner value passes a GELU, which does not commute with a scale: no seam there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dmformer.graph.qdq.graph import Graph
from dmformer.graph.qdq.sites import activated

_STREAM_WRITERS = re.compile(r"stages\.(\d+)\.\d+\.(dma\.fuse|ffn\.conv2)")
_STREAM_READERS = re.compile(r"stages\.(\d+)\.\d+\.(dma\.expand|dma\.gate\.reduce|ffn\.conv1)")
_BLOCK = re.compile(r"(stages\.\d+\.\d+)\.dma\.expand")


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
    """All seams of a canonical graph, in the order of the computation."""
    return (*_stem_seams(graph), *_block_seams(graph), *_stream_seams(graph))


def _stem_seams(graph: Graph) -> list[Seam]:
    pairs = (("stem.conv1", "stem.conv2"), ("stem.conv2", "stem.conv3"))
    return [
        Seam(first, (first,), (second,), (activated(graph, graph.by_name[first]).name,))
        for first, second in pairs
        if first in graph.by_name and second in graph.by_name
    ]


def _block_seams(graph: Graph) -> list[Seam]:
    seams = []
    for match in filter(None, map(_BLOCK.fullmatch, graph.by_name)):
        expand, fuse = match.group(0), f"{match.group(1)}.dma.fuse"
        levels = tuple(name for name in graph.by_name if name.startswith(f"{match.group(1)}.dma.levels."))
        relu = graph.producers[graph.by_name[fuse].input[0]].name
        sums = tuple(name for name in graph.by_name if name.startswith(f"{match.group(1)}.dma.add"))
        seams.append(Seam(expand, (expand,), levels, (expand,), depthwise=True))
        seams.append(Seam(f"{match.group(1)}.dma.sum", levels, (fuse,), (relu,), passing=(*levels, *sums[:-1])))
    return seams


def _stream_seams(graph: Graph) -> list[Seam]:
    writers = {int(m.group(1)): [] for m in map(_STREAM_WRITERS.fullmatch, graph.by_name) if m}  # type: dict[int, list[str]]
    readers: dict[int, list[str]] = {stage: [] for stage in writers}
    for name in graph.by_name:
        if match := _STREAM_WRITERS.fullmatch(name):
            writers[int(match.group(1))].append(name)
        elif match := _STREAM_READERS.fullmatch(name):
            readers[int(match.group(1))].append(name)
    seams = []
    for stage in sorted(writers):
        entry = "stem.conv3" if stage == 0 else f"downsamples.{stage - 1}"
        following = f"downsamples.{stage}" if f"downsamples.{stage}" in graph.by_name else "head"
        if entry not in graph.by_name or following not in graph.by_name:
            continue  # a backbone or another head: the stream's last reader is not known, so it is left alone
        sites = dict.fromkeys(_stream_site(graph, name) for name in [*readers[stage], following])
        seams.append(Seam(f"stages.{stage}", (entry, *writers[stage]), (*readers[stage], following), tuple(sites)))
    return seams


def _stream_site(graph: Graph, reader: str) -> str:
    """The node whose output a reader of the stream quantizes, seen through pooling and reshaping."""
    node = graph.producers[graph.by_name[reader].input[0]]
    while node.op_type in ("GlobalAveragePool", "Squeeze", "Flatten", "Reshape", "ReduceMean"):
        node = graph.producers[node.input[0]]
    return node.name
