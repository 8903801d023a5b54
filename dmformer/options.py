"""What a command can be asked, declared once: fields of a frozen dataclass, each with how it is typed and explained.

A request is such a dataclass. Whoever calls the library fills it in; the command line and ``--config`` fill it in from
what is typed, by the names that its fields are declared with; it goes through JSON and back. Nothing here knows what a
command line is made with.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from dmformer.errors import UsageError

T = TypeVar("T")
PLACES = ("output", "force", "timing-cache")
"""Options that decide what is written where, not what a bundle is: none is taken from a bundle."""
Place = tuple[str, ...]
"""Names of fields, from the request's own to one of a group in it."""


def _long(flags: str) -> tuple[str, ...]:
    return tuple(flag[2:] for flag in flags.split() if flag.startswith("--"))


@dataclass(frozen=True)
class Option:
    """How a field is given: ``batch: Annotated[int, Option("--batch", "Images in a batch.", GRAPH, min=1)] = 1``.

    Attributes:
        flags: As ``--half --fp16`` or ``--cache/--no-cache``; without dashes it is an argument's name.
        help: In a sentence.
        panel: Under which the help lists it.
        min: Smallest number; likewise `max`.
        default: What the help says of the default where the value itself does not tell.
        parse: Makes the field's value of what is typed.
        typed: The type of what is typed, where it is not the field's.
        const: The value of the field where this flag is given: several flags of one field exclude each other.
    """

    flags: str
    help: str = field(repr=False)
    panel: str | None = None
    min: float | None = None
    max: float | None = None
    default: str | None = None
    parse: Callable[[Any], Any] | None = None
    typed: Any = None
    const: Any = None

    @property
    def names(self) -> tuple[str, ...]:
        """Its long names without dashes: what a file calls it; an argument's name."""
        return _long(self.flags.partition("/")[0]) or (self.flags,)

    @property
    def opposites(self) -> tuple[str, ...]:
        """The long names, without dashes, that say the opposite."""
        return _long(self.flags.partition("/")[2])


class Only:
    """Of a group in a request: the fields that this command takes."""

    def __init__(self, *names: str) -> None:
        self.names = names


@dataclass(frozen=True)
class Leaf:
    """One option of a request.

    Attributes:
        place: Where its value is.
        kind: The type of the value, without what is annotated.
        option: How it is given.
        default: Of the field; `dataclasses.MISSING` where one must be given.
    """

    place: Place
    kind: Any
    option: Option
    default: Any

    @property
    def name(self) -> str:
        return self.option.names[0]

    @property
    def flag(self) -> str:
        """What an error calls it."""
        return "/".join(part.split()[0] for part in self.option.flags.split("/"))

    def is_of(self, groups: Iterable[str]) -> bool:
        """Whether it is one of these options, or in one of these panels of the help."""
        return not {self.option.panel, self.name}.isdisjoint(groups)

    @property
    def typed(self) -> Any:
        """The type of what is typed for it: a word, a number, a switch, a path, or a list of such."""
        if self.option.const is not None:
            return bool
        return self.option.typed or _typed(self.kind)


def leaves(request: type) -> tuple[Leaf, ...]:
    """All options of a request, those of its groups among them, in the order in which they are declared."""
    hints = get_type_hints(request, include_extras=True)
    return tuple(leaf for entry in fields(request) for leaf in _of_field(entry, hints[entry.name]))


def _of_field(entry: Field[Any], hint: Any) -> Iterator[Leaf]:
    kind, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if is_dataclass(kind) and isinstance(kind, type):
        only = next((extra.names for extra in extras if isinstance(extra, Only)), None)
        for leaf in leaves(kind):
            if only is None or leaf.place[0] in only:
                yield replace(leaf, place=(entry.name, *leaf.place))
    for option in extras:
        if isinstance(option, Option):
            yield Leaf((entry.name,), kind, option, entry.default)


def _typed(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        return _typed(next(part for part in get_args(kind) if part is not NoneType))
    if get_origin(kind) is Literal:
        return str
    return list[_typed(get_args(kind)[0])] if get_origin(kind) is tuple else kind  # type: ignore[misc]


def choices(kind: Any) -> tuple[Any, ...]:
    """What a type of `Literal` allows, also where it may be None; empty where it is none."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(one for part in get_args(kind) for one in choices(part)) if get_origin(kind) is not tuple else ()


def values(given: Mapping[Leaf, Any]) -> dict[Place, Any]:
    """The fields' values, from what was typed.

    Raises:
        UsageError: Two of them exclude each other, or a value cannot be.
    """
    by_place: dict[Place, Any] = {}
    for leaf in given:
        rivals = [other.flag for other in given if other.place == leaf.place]
        if len(rivals) > 1:
            raise UsageError(f"{' and '.join(rivals)} exclude each other", "give one; run again for another")
        by_place[leaf.place] = _value(leaf, given[leaf])
    return by_place


def _value(leaf: Leaf, typed: Any) -> Any:
    if leaf.option.const is not None:
        return leaf.option.const
    value = tuple(typed) if isinstance(typed, list) else typed
    if leaf.option.parse and (isinstance(typed, str) or leaf.typed is not str):  # else it is parsed already
        value = leaf.option.parse(typed)
    if (known := choices(leaf.kind)) and value not in known:
        raise UsageError(f"there is no {leaf.name} {str(value)[:80]!r}", f"choose from: {', '.join(map(str, known))}")
    return value


def filled(request: type[T], given: Mapping[Place, Any]) -> T:
    """A request with these values in their places, and the defaults elsewhere."""
    own = {place[0]: value for place, value in given.items() if len(place) == 1}
    for head in dict.fromkeys(place[0] for place in given if len(place) > 1):
        group = {place[1:]: value for place, value in given.items() if place[0] == head}
        own[head] = filled(_kind(request, head), group)
    return request(**own)


def changed(request: T, given: Mapping[Place, Any]) -> T:
    """The request with these values in their places, and its own elsewhere."""
    own = {place[0]: value for place, value in given.items() if len(place) == 1}
    for head in dict.fromkeys(place[0] for place in given if len(place) > 1):
        group = {place[1:]: value for place, value in given.items() if place[0] == head}
        own[head] = changed(getattr(request, head), group)
    return replace(request, **own)  # type: ignore[type-var]


def _kind(request: type, name: str) -> type:
    hint = get_type_hints(request)[name]
    assert isinstance(hint, type)  # noqa: S101 - a group is a dataclass
    return hint


def written(request: object, leaving_out: Iterable[str] = ()) -> dict[str, Any]:
    """What makes the same request again, by long names: all that differs from the defaults, fit for JSON.

    Absolute paths are written by their names alone: what is written may travel, and names no directory of this machine.

    Args:
        request: The request.
        leaving_out: Panels of the help, all options in which are meant, and names of options.
    """
    said: dict[str, Any] = {}
    for leaf in leaves(type(request)):
        value = _of(request, leaf)
        if value == leaf.default or leaf.is_of(leaving_out):
            continue
        if leaf.option.const is None:
            said[leaf.name] = _plain(value)
        elif value == leaf.option.const:
            said[leaf.name] = True
    return said


def given_in(request: object) -> Iterator[Leaf]:
    """The options that a request gives: those that differ from their defaults, and the flag of each choice."""
    for leaf in leaves(type(request)):
        value = _of(request, leaf)
        if value == leaf.option.const if leaf.option.const is not None else value != leaf.default:
            yield leaf


def said_of(request: object) -> dict[str, Any]:
    """What differs from the defaults, by the names of the fields: what a request shows of itself."""
    return {
        ".".join(leaf.place): value for leaf in leaves(type(request)) if (value := _of(request, leaf)) != leaf.default
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return value.name if value.is_absolute() else str(value)
    return value


def command_line(command: str, request: object) -> str:
    """What would be typed for a request, fit for a report: paths by their names alone."""
    words = ["dmformer", command]
    for leaf in leaves(type(request)):
        value = _of(request, leaf)
        if value == leaf.default:
            continue
        positional, flag = not leaf.option.flags.startswith("-"), leaf.flag.split("/")
        for one in value if isinstance(value, tuple) else (value,):
            shown = Path(one).name if leaf.typed in (Path, list[Path]) else str(one)
            if isinstance(one, bool):
                words.append(flag[0] if one else flag[-1])
            else:
                words += [shown] if positional else [flag[0], shown]
    return shlex.join(words)


def _of(request: object, leaf: Leaf) -> Any:
    value = request
    for name in leaf.place:
        value = getattr(value, name)
    return value


def refuse_idle(given: Iterable[Leaf], groups: Iterable[str], why: str, hint: str) -> None:
    """Refuses options that were given though nothing reads them: who gives one expects something of it.

    Args:
        given: All that were given.
        groups: Panels of the help, all options in which are meant, and names of options.
        why: What is said behind the option's name.
        hint: How to mend it.

    Raises:
        UsageError: Names the first of them.
    """
    for leaf in given:
        if leaf.is_of(groups):
            raise UsageError(f"{leaf.flag} {why}", hint)


def refuse_without(given: Iterable[Leaf], switch: str, *groups: str) -> None:
    """Refuses options that do nothing without a switch; see `refuse_idle`."""
    refuse_idle(given, groups, f"does nothing without {switch}", f"add {switch}, or leave it out")
