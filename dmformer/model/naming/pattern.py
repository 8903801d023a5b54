"""Names of modules with places in them, as the rules of a dialect are written.

``block{s+1}.{b}.(norm|bn)1`` matches ``block1.0.bn1`` with s = 0 and b = 0. In a pattern

- ``{s}``, ``{s+1}``, ``{2s+1}`` is a number, which the target of the rule can take up as ``{s}``;
- ``(one|other)`` is one of several texts, ``(|x)`` also none;
- ``*`` is any text without a dot, ``**.`` any number of modules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

MOST_DIGITS = 4
_TOKEN = re.compile(r"\{(\d)?([a-z]+)([+-]\d)?\}|\(([^()]*)\)|(\*\*\.)|(\*)|([^{}()*]+)")
_PLACE = re.compile(r"\{([a-z]+)\}")

Places = Mapping[str, int]


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> tuple[re.Pattern[str], tuple[tuple[str, int, int], ...]]:
    """The regular expression, and of each of its groups the name, what it is multiplied by, and what is added."""
    position, text, groups = 0, "", list[tuple[str, int, int]]()
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if token is None:
            raise ValueError(f"no pattern of names: {pattern[position:][:40]!r}")
        factor, number, offset, choice, deep, any_text, literal = token.groups()
        if number is not None:
            groups.append((number, int(factor or 1) or 1, int(offset or 0)))
            text += rf"(\d{{1,{MOST_DIGITS}}})"
        elif choice is not None:
            text += "(?:" + "|".join(map(re.escape, choice.split("|"))) + ")"
        elif deep or any_text:
            text += r"(?:[^.]+\.)*" if deep else r"[^.]*"
        else:
            text += re.escape(literal)
        position = token.end()
    return re.compile(text), tuple(groups)


def first_of(patterns: Sequence[str]) -> Callable[[str], int]:
    """What tells the first of many patterns that may fit a name, whatever its numbers; their count where none does.

    One regular expression for all of them: of a large network every name is looked at by every dialect.
    """
    texts = [
        _compiled(one)[0].pattern.replace("(\\d", "(?:\\d") + (".*" if one.endswith(".") else "") for one in patterns
    ]
    together = re.compile("|".join(f"(?P<p{index}>{text})" for index, text in enumerate(texts)))

    def first(name: str) -> int:
        found = together.fullmatch(name)
        return int((found.lastgroup or "p")[1:]) if found else len(patterns)

    return first


def check(pattern: str) -> None:
    """Refuses what is no pattern.

    Raises:
        ValueError: Says where.
    """
    _compiled(pattern)


def match(pattern: str, name: str) -> tuple[dict[str, int], str] | None:
    """The numbers at the places of a pattern that fits a name, and what is left of the name.

    Args:
        pattern: It must fit the whole name; one that ends in a dot fits all that is below it.
        name: Of a module or a tensor.

    Returns:
        None where it does not fit.
    """
    expression, groups = _compiled(pattern)
    found = expression.match(name) if pattern.endswith(".") else expression.fullmatch(name)
    if found is None:
        return None
    numbers: dict[str, int] = {}
    for (place, factor, offset), digits in zip(groups, found.groups(), strict=True):
        number, rest = divmod(int(digits) - offset, factor)
        if number < 0 or rest or numbers.setdefault(place, number) != number:
            return None
    return numbers, name[found.end() :]


def fill(target: str, places: Places) -> str:
    """A target with the numbers of a match in its places; those without a number stay."""
    return _PLACE.sub(lambda at: str(places[at[1]]) if at[1] in places else at[0], target)
