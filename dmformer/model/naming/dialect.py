"""Dialects: how another code base calls the parts of a DMFormer, as ordered rules in a file each.

A rule says ``theirs = ours`` of a module's path, see `dmformer.model.naming.pattern`; the first that fits decides. It
fits a module whose tensors are those of the part's kind alone: a convolution is never taken for a norm. Several targets
are tried in turn, ``""`` leaves a module aside, a pattern that ends in a dot renames all that is below it.
``{kernel}`` in a target is the place of a depthwise kernel among those of its block, by its side; ``{matrix}`` is the
one of DMA's 1x1 convolutions whose sides a module has.
The file that a person writes for ``--names`` is one of these too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, ValidationError, field_validator

from dmformer.errors import UsageError
from dmformer.fields import Strict
from dmformer.model.naming import pattern
from dmformer.model.naming.modules import KERNEL_SIDES, Module, kind_of
from dmformer.reading import parse_toml, read_toml
from dmformer.texts import first_problem

BLOCK, ATTENTION, STEM = "stages.{s}.{b}", "dma", "stem"
SHARED, NATIVE, OWN = "shared", "native", "own rules"
MAX_BYTES = 2**20
MOST_RULES = 20_000

if TYPE_CHECKING:
    from importlib.abc import Traversable

Text = Annotated[str, Field(max_length=500)]
Targets = Text | tuple[Text, ...]
Rules = Annotated[dict[Text, Targets], Field(max_length=MOST_RULES)]


@dataclass(frozen=True)
class Rule:
    """One line of a dialect.

    Attributes:
        theirs: Pattern of a module's path.
        ours: Targets in the network; an empty one leaves the module aside.
        of: Whose it is, in words.
    """

    theirs: str
    ours: tuple[str, ...]
    of: str

    def part(self, module: Module) -> str | None:
        """The part of the network that a module is by this rule, empty where it is left aside; None if not by it."""
        fits = pattern.match(self.theirs, module.path)
        if fits is None:
            return None
        places, rest = fits
        targets = (pattern.fill(target, places) + rest for target in self.ours)
        return next((target for target in targets if not target or self._fits(target, module)), None)

    def _fits(self, target: str, module: Module) -> bool:
        # Where only the shapes decide, the kernel does too.
        side = KERNEL_SIDES.get(target) if len(self.ours) > 1 else None
        return module.can_be(kind_of(target)) and side in (None, module.kernel)


class DialectFile(Strict):
    """The content of a file of rules.

    Attributes:
        title: Whose names they are.
        like: The dialect whose rules come behind these; of a person's file.
        stem: Pattern of the stem's path; likewise ``blocks``, and ``attention`` of DMA's inside a block.
        network: Rules of whole paths.
        in_stem: Rules below the stem's path; likewise ``in_block`` and ``in_attention``.
        training: Patterns of what only training needs, each with what it is of.
        cautions: Patterns of names whose part is not certain, each with why.
    """

    title: Text = "the rules"
    like: Text | None = None
    stem: Text | None = None
    blocks: Text | None = None
    attention: Text | None = None
    network: Rules = {}  # noqa: RUF012 - pydantic copies it
    in_stem: Rules = {}  # noqa: RUF012
    in_block: Rules = {}  # noqa: RUF012
    in_attention: Rules = {}  # noqa: RUF012
    training: dict[Text, Text] = {}  # noqa: RUF012
    cautions: dict[Text, Text] = {}  # noqa: RUF012

    @field_validator("network", "in_stem", "in_block", "in_attention")
    @classmethod
    def _are_patterns(cls, rules: dict[str, Targets]) -> dict[str, Targets]:
        for theirs in rules:
            pattern.check(theirs)
        return rules


@dataclass(frozen=True)
class Dialect:
    """How a code base calls the parts of a DMFormer.

    Attributes:
        name: Of its file.
        title: Whose names they are, in words.
        blocks: Pattern of a block's path.
        rules: In their order.
        training: Patterns of what only training needs, each with what it is of.
        cautions: Patterns of names whose part is not certain, each with why.
    """

    name: str
    title: str
    blocks: str
    rules: tuple[Rule, ...]
    training: tuple[tuple[str, str], ...]
    cautions: tuple[tuple[str, str], ...]

    def has_blocks(self, paths: Iterable[str]) -> bool:
        """Whether some modules lie where this code base has its blocks."""
        return any(pattern.match(f"{self.blocks}.", path) for path in paths)

    def of_training(self, path: str) -> str | None:
        """What a module is of, where only training needs it."""
        place = self._first_of_training(f"{path}.")
        return self.training[place][1] if place < len(self.training) else None

    @cached_property
    def _first_of_training(self) -> Callable[[str], int]:
        return pattern.first_of([theirs for theirs, _ in self.training])

    @cached_property
    def _first_rule(self) -> Callable[[str], int]:
        return pattern.first_of([rule.theirs for rule in self.rules])

    def part(self, module: Module) -> tuple[str, Rule] | None:
        """The part that a module is taken for, and the rule that says so; None where no rule fits."""
        found = ((rule.part(module), rule) for rule in self.rules[self._first_rule(module.path) :])
        return next(((part, rule) for part, rule in found if part is not None), None)


def dialects() -> tuple[Dialect, ...]:
    """All that come with this package but its own names."""
    return tuple(get_dialect(name) for name in _names() if name not in (SHARED, NATIVE))


@cache
def get_dialect(name: str) -> Dialect:
    """One of them by its name.

    Raises:
        UsageError: There is none.
    """
    own, shared = _packaged(name), _packaged(SHARED)
    return _joined(name, (own, shared))


def read_rules(path: Path) -> DialectFile:
    """The rules that a person completed.

    Raises:
        UsageError: The file cannot be read, is too large, or holds no rules.
    """
    hint = "dmformer inspect FILE --names --names-out RULES.toml writes one to complete"
    try:
        return DialectFile.model_validate(read_toml(path, MAX_BYTES))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})", hint) from error
    except ValidationError as error:
        raise UsageError(f"{path}: no rules of names ({first_problem(error)})", hint) from error
    except ValueError as error:
        raise UsageError(f"{path}: is no TOML ({error})", hint) from error


def with_rules(given: DialectFile) -> Dialect:
    """A dialect of a person's rules, those of the dialect that they are like behind them.

    Raises:
        UsageError: There is no such dialect.
    """
    return _joined(OWN, (given, _packaged(given.like or NATIVE), _packaged(SHARED)))


@cache
def _packaged(name: str) -> DialectFile:
    if name not in _names():
        raise UsageError(f"there is no dialect {name[:80]!r}", f"choose among {', '.join(_names())}")
    return DialectFile.model_validate(parse_toml(_folder().joinpath(f"{name}.toml").read_text()))


def _folder() -> Traversable:
    return files("dmformer.model.naming").joinpath("dialects")


def _names() -> list[str]:
    return sorted(entry.name.removesuffix(".toml") for entry in _folder().iterdir() if entry.name.endswith(".toml"))


def _joined(name: str, parts: tuple[DialectFile, ...]) -> Dialect:
    """One dialect of several files: where the first says nothing the next does."""
    stem = next(part.stem for part in parts if part.stem is not None)
    blocks = next((part.blocks for part in parts if part.blocks is not None), BLOCK)
    attention = next(part.attention for part in parts if part.attention is not None)
    rules = [rule for part in parts for rule in _rules(part, stem, blocks, attention)]
    return Dialect(
        name,
        parts[0].title,
        blocks,
        tuple(rules),
        tuple(pair for part in parts for pair in part.training.items()),
        tuple(pair for part in parts for pair in part.cautions.items()),
    )


def _rules(part: DialectFile, stem: str, blocks: str, attention: str) -> Iterator[Rule]:
    sections = (
        (part.network, "", ""),
        (part.in_stem, f"{stem}.", f"{STEM}."),
        (part.in_block, f"{blocks}.", f"{BLOCK}."),
        (part.in_attention, f"{blocks}.{attention}.", f"{BLOCK}.{ATTENTION}."),
    )
    for rules, theirs, ours in sections:
        for key, value in rules.items():
            targets = (value,) if isinstance(value, str) else value
            yield Rule(theirs + key, tuple(ours + target if target else "" for target in targets), part.title)
