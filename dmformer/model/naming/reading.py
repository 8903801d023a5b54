"""What each module of a file is taken for in one dialect, and which dialect a file is in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeGuard

from dmformer.model.naming.dialect import Dialect
from dmformer.model.naming.modules import ANY, Module, Shapes, kind_of, modules_of
from dmformer.model.naming.pattern import match

ANY_KERNEL, ANY_MATRIX = "{kernel}", "{matrix}"


@dataclass(frozen=True)
class Assignment:
    """What a module is taken for.

    Attributes:
        module: Of the file.
        part: Path of the network's module; empty where it is left aside, None where no rule fits.
        why: The rule, in words.
    """

    module: Module
    part: str | None
    why: str

    def target(self, leaf: str) -> str:
        """The network's name of one of the module's tensors."""
        return f"{self.part}.{leaf or 'weight'}" if self.part else ""


@dataclass(frozen=True)
class Reading:
    """A file's modules as one dialect reads them.

    Attributes:
        dialect: Whose rules.
        assignments: One for each module, in the file's order.
    """

    dialect: Dialect
    assignments: tuple[Assignment, ...]

    @property
    def unknown(self) -> tuple[Module, ...]:
        """The modules that no rule fits."""
        return tuple(each.module for each in self.assignments if each.part is None)

    @property
    def fits(self) -> bool:
        """Whether every module is known, and none could be another's part."""
        return not self.unknown and not self.rivals

    @cached_property
    def rivals(self) -> dict[str, list[str]]:
        """Paths of modules that could be one and the same part, by that part."""
        owners: dict[str, list[str]] = {}
        for each in self.assignments:
            if each.part:
                owners.setdefault(each.part, []).append(each.module.path)
        return {part: sorted(paths) for part, paths in owners.items() if len(paths) > 1}

    def missing(self, required: Iterable[str]) -> tuple[str, ...]:
        """The tensors that nothing is taken for, of those without which there is no network."""
        targets = set(self.targets.values())
        return tuple(name for name in required if name not in targets)

    def is_whole(self, required: Iterable[str]) -> bool:
        """Whether it fits, and nothing is missing without which there is no network."""
        return self.fits and not self.missing(required)

    @cached_property
    def parts(self) -> dict[str, Module]:
        """The modules by the parts that they are taken for."""
        return {each.part: each.module for each in self.assignments if each.part}

    @cached_property
    def targets(self) -> dict[str, str]:
        """The network's name of every tensor that has one, by its name in the file."""
        named = (each for each in self.assignments if each.part)
        return {each.module.name(leaf): each.target(leaf) for each in named for leaf in each.module.shapes}

    @cached_property
    def aside(self) -> dict[str, str]:
        """The tensors that are left aside by their names, with why."""
        left = (each for each in self.assignments if each.part == "")
        return {each.module.name(leaf): each.why for each in left for leaf in each.module.shapes}

    @property
    def cautions(self) -> tuple[str, ...]:
        """What is not certain of the names that were understood."""
        paths = [each.module.path for each in self.assignments if each.part]
        return tuple(why for theirs, why in self.dialect.cautions if any(match(theirs, path) for path in paths))


def read_as(dialect: Dialect, shapes: Shapes) -> Reading:
    """What a dialect takes each module for.

    Args:
        dialect: Whose rules.
        shapes: Of every tensor, by the names in the file.
    """
    assigned = _with_matrices(_with_kernels([_assigned(dialect, module) for module in modules_of(shapes)]))
    return Reading(dialect, tuple(assigned))


def _assigned(dialect: Dialect, module: Module) -> Assignment:
    if of := dialect.of_training(module.path):
        return Assignment(module, "", f"of {of}")
    if (found := dialect.part(module)) is not None:
        part, rule = found
        how = "by its kind and place, as in" if len(rule.ours) > 1 else "named as in"
        return Assignment(module, part, f"{how if part else 'left aside by'} {rule.of}")
    if module.weight == () and not module.shapes.keys() & {"weight", "bias"}:
        return Assignment(module, "", "a counter")
    return Assignment(module, None, "")


def _with_kernels(assigned: Sequence[Assignment]) -> list[Assignment]:
    """Levels whose names do not number them, in the order of their kernels."""
    open_ones: dict[str, list[Assignment]] = {}
    for each in assigned:
        if each.part and ANY_KERNEL in each.part:
            open_ones.setdefault(each.part, []).append(each)
    numbers: dict[str, str] = {}
    for part, levels in open_ones.items():
        kernels = sorted({each.module.kernel for each in levels})
        # Two of one kernel get the same number: that is ambiguous, as their dilations may differ.
        numbers |= {
            each.module.path: part.replace(ANY_KERNEL, str(kernels.index(each.module.kernel))) for each in levels
        }
    return [replace(each, part=numbers.get(each.module.path, each.part)) for each in assigned]


def _with_matrices(assigned: Sequence[Assignment]) -> list[Assignment]:
    """The 1x1 convolutions of a DMA whose names do not tell, by their sides: unknown where these leave it open."""
    inner = {each.part.partition(".levels.")[0]: each.module.weight[0] for each in assigned if _is_level(each.part)}
    return [
        replace(
            each,
            part=_by_sides(each.module, each.part.removesuffix(f".{ANY_MATRIX}"), inner),
            why="by its sides, beside the levels",
        )
        if each.part and each.part.endswith(ANY_MATRIX)
        else each
        for each in assigned
    ]


def _is_level(part: str | None) -> TypeGuard[str]:
    return part is not None and ".dma.levels." in part


def _by_sides(module: Module, attention: str, inner: Mapping[str, int]) -> str | None:
    """``[N*C, C]`` expands, ``[C, N*C]`` fuses, and the gate is what leads to fewer channels and back."""
    rows, columns = module.sides
    if attention not in inner or rows == columns:
        return None
    if inner[attention] in (rows, columns):
        return f"{attention}.{'expand' if inner[attention] == rows else 'fuse'}"
    return f"{attention}.gate.{'reduce' if rows < columns else 'expand'}"


def choose_reading(readings: Sequence[Reading], required: Iterable[str]) -> tuple[Reading, tuple[Reading, ...]]:
    """The reading of the dialect that a file is in.

    Args:
        readings: Of each dialect, in the order of preference.
        required: Names of tensors without which there is no network.

    Returns:
        The first that fits, or where none does the one that knows most; and those that fit too but mean another
            network: with any, nothing is decided.
    """
    whole = [reading for reading in readings if reading.is_whole(required)]
    if not whole:
        return max(readings, key=_known), ()
    first, *others = whole
    return first, tuple(other for other in others if other.targets != first.targets)


def _known(reading: Reading) -> int:
    return sum(bool(each.part) and kind_of(each.part or "") != ANY for each in reading.assignments)
