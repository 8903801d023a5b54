"""Where the blocks of a file lie whose names nobody knows: by their depthwise convolutions, and by how paths count."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dmformer.model.config import STAGES
from dmformer.model.naming.modules import Module, natural

_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class Block:
    """One block of a file.

    Attributes:
        path: Of the block.
        modules: Its layers, by their paths below it.
    """

    path: str
    modules: dict[str, Module]

    @property
    def levels(self) -> dict[str, Module]:
        """Its depthwise convolutions."""
        return {path: module for path, module in self.modules.items() if module.is_spatial}


@dataclass(frozen=True)
class Blocks:
    """The blocks of a file.

    Attributes:
        pattern: Of their paths, with ``{s}`` and ``{b}``.
        blocks: In the order of stages and blocks.
    """

    pattern: str
    blocks: tuple[Block, ...]


def find_blocks(modules: Sequence[Module]) -> Blocks | None:
    """The blocks, where the file has four stages of them that its paths number; else None."""
    levels = [module for module in modules if module.is_spatial]
    kernels = {module.kernel for module in levels}
    paths = sorted({path for module in levels if (path := _block_of(module.path, levels, kernels))}, key=natural)
    pattern = _pattern(paths)
    if pattern is None:
        return None
    blocks = (
        Block(path, {m.path[len(path) + 1 :]: m for m in modules if m.path.startswith(f"{path}.")}) for path in paths
    )
    return Blocks(pattern, tuple(blocks))


def _block_of(path: str, levels: Iterable[Module], kernels: set[int]) -> str | None:
    """The longest beginning of a path that ends in a number and holds one convolution of each kernel."""
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        start = ".".join(parts[:end])
        inside = [module.kernel for module in levels if module.path.startswith(f"{start}.")]
        if parts[end - 1][-1:].isdigit() and len(inside) == len(kernels) and set(inside) == kernels:
            return start
    return None


def _pattern(paths: Sequence[str]) -> str | None:
    """What the paths have in common: two numbers, of which the first takes four values at equal distances."""
    forms = {_DIGITS.sub("#", path) for path in paths}
    numbers = [tuple(map(int, _DIGITS.findall(path))) for path in paths]
    if len(forms) != 1 or len(numbers[0]) < 2:
        return None
    *_, stage, block = range(len(numbers[0]))
    stages = sorted({row[stage] for row in numbers})
    step = stages[1] - stages[0] if len(stages) == STAGES else 0
    fixed = all(len({row[place] for row in numbers}) == 1 for place in range(stage))
    first = min(row[block] for row in numbers)
    if not fixed or stages != [stages[0] + step * index for index in range(STAGES)] or not 0 < step <= 9 or first > 1:
        return None
    marks = [*map(str, numbers[0][:stage]), _place("s", step, stages[0]), _place("b", 1, first)]
    form = forms.pop().replace("#", "\0")
    for mark in marks:
        form = form.replace("\0", mark, 1)
    return form


def _place(name: str, factor: int, offset: int) -> str:
    return "{" + (str(factor) if factor > 1 else "") + name + (f"+{offset}" if offset else "") + "}"
