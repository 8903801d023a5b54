"""Dialects: how another code base calls the parts of a DMFormer, as ordered rules in a file each.

A rule says ``theirs = ours`` of a module's path, see `dmformer.model.naming.pattern`; the first that fits decides. It
fits a module whose tensors are those of the part's kind alone: a convolution is never taken for a norm. Several targets
are tried in turn, ``""`` leaves a module aside, a pattern that ends in a dot renames all that is below it.
``{kernel}`` in a target is the place of a depthwise kernel among those of its block, by its side.
The file that a person writes for ``--names`` is one of these too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator

from dmformer.errors import UsageError
from dmformer.fields import Strict
from dmformer.model.naming import pattern
from dmformer.model.naming.modules import Module, kind_of
from dmformer.reading import parse_toml, read_bounded
from dmformer.texts import first_problem

BLOCK, ATTENTION, STEM = "stages.{s}.{b}", "dma", "stem"
SHARED, NATIVE = "shared", "native"
MAX_BYTES = 2**20
MOST_RULES = 20_000

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
        return next((target for target in targets if not target or module.can_be(kind_of(target))), None)


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
        rules: In their order.
        training: Patterns of what only training needs, each with what it is of.
        cautions: Patterns of names whose part is not certain, each with why.
    """

    name: str
    title: str
    rules: tuple[Rule, ...]
    training: tuple[tuple[str, str], ...]
    cautions: tuple[tuple[str, str], ...]

    def of_training(self, path: str) -> str | None:
        """What a module is of, where only training needs it."""
        return next((of for theirs, of in self.training if pattern.match(theirs, path) is not None), None)

    def part(self, module: Module) -> tuple[str, Rule] | None:
        """The part that a module is taken for, and the rule that says so; None where no rule fits."""
        found = ((rule.part(module), rule) for rule in self.rules)
        return next(((part, rule) for part, rule in found if part is not None), None)


@cache
def dialects() -> tuple[Dialect, ...]:
    """All that come with this package, its own names first."""
    folder = files("dmformer.model.naming").joinpath("dialects")
    names = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))
    names.remove(SHARED)
    return tuple(get_dialect(name) for name in sorted(names, key=lambda name: (name != NATIVE, name)))


def get_dialect(name: str) -> Dialect:
    """One of them by its name.

    Raises:
        UsageError: There is none.
    """
    own, shared = _packaged(name), _packaged(SHARED)
    return _joined(name, (own, shared))


def read_rules(path: Path) -> Dialect:
    """The rules that a person completed, those of the dialect that they are like behind them.

    Raises:
        UsageError: The file cannot be read, is too large, or holds no rules.
    """
    hint = "dmformer inspect FILE --names --names-out RULES.toml writes one to complete"
    try:
        given = DialectFile.model_validate(parse_toml(read_bounded(path, MAX_BYTES).decode()))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})", hint) from error
    except ValidationError as error:
        raise UsageError(f"{path}: no rules of names ({first_problem(error)})", hint) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: is no TOML ({error})", hint) from error
    return with_rules(given, str(path))


def with_rules(given: DialectFile, name: str) -> Dialect:
    """A dialect of a person's rules."""
    return _joined(name, (given, _packaged(given.like or NATIVE), _packaged(SHARED)))


def _packaged(name: str) -> DialectFile:
    folder = files("dmformer.model.naming").joinpath("dialects")
    known = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))
    if name not in known:
        raise UsageError(f"there is no dialect {name[:80]!r}", f"choose among {', '.join(set(known) - {SHARED})}")
    return DialectFile.model_validate(parse_toml(folder.joinpath(f"{name}.toml").read_text()))


def _joined(name: str, parts: tuple[DialectFile, ...]) -> Dialect:
    """One dialect of several files: where the first says nothing the next does."""
    stem = next(part.stem for part in parts if part.stem is not None)
    blocks = next((part.blocks for part in parts if part.blocks is not None), BLOCK)
    attention = next(part.attention for part in parts if part.attention is not None)
    rules = [rule for part in parts for rule in _rules(part, stem, blocks, attention)]
    return Dialect(
        name,
        parts[0].title,
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
