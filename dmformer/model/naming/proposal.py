"""A mapping proposed by shapes and places, for a person to complete: what is ambiguous stays open, with its candidates.

Nothing that is proposed here is ever loaded by itself: two layers of one shape are told apart by names alone, and a
wrong mapping is worse than none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from dmformer.model.naming.blocks import Block, Blocks, find_blocks
from dmformer.model.naming.modules import KERNEL, MATRIX, NORM, SCALE, Module
from dmformer.model.naming.reading import ANY_KERNEL, Reading

ATTENTION = ("dma.expand", "dma.fuse", "dma.gate.reduce", "dma.gate.expand")
FFN = ("ffn.conv1", "ffn.conv2")
Candidates = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Proposal:
    """What modules may be, by their shapes and places.

    Attributes:
        blocks: Pattern of the blocks' paths; None where they were not found.
        below: Paths below a block, by whole paths.
        in_block: Parts of a block that a path below it may be.
        network: Parts outside of the blocks that a path may be.
    """

    blocks: str | None
    below: Mapping[str, str]
    in_block: Candidates
    network: Candidates

    def of(self, path: str) -> tuple[str, ...]:
        """The parts that the module of a whole path may be."""
        return self.in_block.get(self.below[path], ()) if path in self.below else self.network.get(path, ())


def propose(reading: Reading) -> Proposal:
    """Candidates for every module that the reading does not know."""
    modules = [each.module for each in reading.assignments if each.part != ""]
    known = reading.parts if not reading.rivals else {}
    found = find_blocks(modules)
    if found is None:
        return Proposal(None, {}, {}, _outside(modules, known))
    inside = {module.path: path for block in found.blocks for path, module in block.modules.items()}
    outer = [module for module in modules if module.path not in inside]
    return Proposal(found.pattern, inside, _inside(found), _outside(outer, known))


def _inside(found: Blocks) -> Candidates:
    """Parts of a block by paths, where they are possible in every block."""
    first, *others = (_of_block(block) for block in found.blocks)
    return {
        path: tuple(part for part in parts if all(part in other.get(path, ()) for other in others))
        for path, parts in first.items()
    }


def _of_block(block: Block) -> Candidates:
    levels = block.levels
    inner = next(iter(levels.values())).weight[0]
    matrices = {path: module.sides for path, module in block.modules.items() if module.can_be(MATRIX)}
    outer = next((sum(sides) - inner for sides in matrices.values() if inner in sides and sides[0] != sides[1]), inner)
    vectors = {
        path: tuple(_vector(module, inner, outer)) for path, module in block.modules.items() if path not in matrices
    }
    return {
        **{path: (f"dma.levels.{ANY_KERNEL}",) for path in levels},
        **{path: parts for path, parts in vectors.items() if path not in levels},
        **_matrices(matrices, inner, outer, _shared_by(list(levels))),
    }


def _vector(module: Module, inner: int, outer: int) -> Iterator[str]:
    size = max(module.weight, default=0)
    if module.can_be(NORM):
        yield from (["norm1", "norm2"] if size == outer else [])
        yield from (["dma.norm"] if size == inner else [])
    elif module.can_be(SCALE) and size == outer:
        yield from ("scale1", "scale2")


def _shared_by(paths: Sequence[str]) -> str:
    """The module of a block that several levels lie in; empty where it is the block itself."""
    starts = {path.partition(".")[0] for path in paths}
    return starts.pop() if len(starts) == 1 < len(paths) else ""


def _matrices(sides: Mapping[str, tuple[int, int]], inner: int, outer: int, attention: str) -> Candidates:
    """Every part that a 1x1 convolution can be in some assignment of all six that fits their sides and places."""
    parts = (*ATTENTION, *FFN)
    if len(sides) != len(parts):
        return {}
    beside = [path for path in sides if attention and path.startswith(f"{attention}.")]
    # Where four lie with the levels, these are DMA's.
    placed = len(beside) == len(ATTENTION)
    possible: dict[str, list[str]] = {path: [] for path in sides}
    for order in permutations(sides):
        given = dict(zip(parts, order, strict=True))
        if placed and set(beside) != {given[part] for part in ATTENTION}:
            continue
        if _fit({part: sides[path] for part, path in given.items()}, inner, outer):
            for part, path in given.items():
                possible[path] += [part] if part not in possible[path] else []
    return {path: tuple(found) for path, found in possible.items()}


def _fit(sides: Mapping[str, tuple[int, int]], inner: int, outer: int) -> bool:
    """Whether six matrices are those of a block of ``outer`` channels, ``inner`` of them in its levels."""
    reduced, hidden = sides["dma.gate.reduce"][0], sides["ffn.conv1"][0]
    return (
        sides["dma.expand"] == (inner, outer)
        and sides["dma.fuse"] == (outer, inner)
        and sides["dma.gate.reduce"] == (reduced, outer)
        and sides["dma.gate.expand"] == (outer, reduced)
        and reduced <= outer
        and sides["ffn.conv1"] == (hidden, outer)
        and sides["ffn.conv2"] == (outer, hidden)
    )


def _outside(modules: Sequence[Module], known: Mapping[str, Module]) -> Candidates:
    """Parts outside of the blocks, told by kernels and by which channels lead where."""
    convs = [module for module in modules if module.can_be(KERNEL) and module.kernel > 1 and not module.is_spatial]
    first = next((module for module in convs if module.kernel == 7), None)
    width = first.weight[0] if first else 0
    found: Candidates = {}
    steps = [module for module in convs if module.kernel == 2]
    order = _chained(steps, width)
    for module in convs:
        if module.kernel == 7:
            found[module.path] = ("stem.conv1",)
        elif module.kernel == 3 and module.weight[:2] == (width, width):
            found[module.path] = ("stem.conv2",)
        elif module in order:
            index = order.index(module)
            found[module.path] = ("stem.conv3",) if index == 0 else (f"downsamples.{index - 1}",)
    last = order[-1].weight[0] if order else 0
    for module in modules:
        if module.can_be(NORM) and module.weight:
            stem = ("stem.norm1", "stem.norm2") if module.weight[0] == width else ()
            found[module.path] = (*stem, *(("norm",) if module.weight[0] == last else ()))
        elif module.can_be(MATRIX) and module.sides[1] == last:
            found[module.path] = ("head",)
    return {path: tuple(part for part in parts if part not in known) for path, parts in found.items()}


def _chained(steps: Sequence[Module], width: int) -> list[Module]:
    """Convolutions in the order in which each reads what the one before gives; empty where that is not one order."""
    order: list[Module] = []
    while len(order) < len(steps):
        following = [module for module in steps if module.weight[1] == width and module not in order]
        if len(following) != 1:
            return []
        order += following
        width = following[0].weight[0]
    return order
