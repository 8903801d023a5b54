"""What a person looks at: every tensor, what it is taken for and why; and the file of rules to complete."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dmformer.model.naming.choice import MOST_SHOWN
from dmformer.model.naming.dialect import BLOCK, NATIVE
from dmformer.model.naming.modules import Shape, Shapes, natural
from dmformer.model.naming.proposal import propose
from dmformer.model.naming.reading import Reading

HEADER = """\
# Which part of a DMFormer each tensor is: "theirs" = "ours", the first rule that fits decides.
# {s} counts stages and {b} blocks. A line that begins with "# ?" is open: nothing but a name could tell its candidates
# apart. Choose one, and take the mark away. "" leaves out what the network does not need.
"""


@dataclass(frozen=True)
class TensorName:
    """One tensor of a file.

    Attributes:
        name: In the file.
        shape: Its sides.
        taken_for: The network's tensor; empty where it is left out, None where nothing is known.
        why: The rule, or what a proposal rests on.
        candidates: Parts of the network that it may be by its shape and place, where no rule knows it.
    """

    name: str
    shape: Shape
    taken_for: str | None
    why: str
    candidates: tuple[str, ...] = ()


def named_tensors(reading: Reading, shapes: Shapes) -> tuple[TensorName, ...]:
    """Every tensor of a file as a reading takes it, with candidates where it does not know."""
    proposal = propose(reading)
    owners = {each.module.name(leaf): (each, leaf) for each in reading.assignments for leaf in each.module.shapes}
    found = []
    for name, shape in shapes.items():
        each, leaf = owners[name]
        if each.part is not None:
            found.append(TensorName(name, shape, each.target(leaf), each.why))
            continue
        candidates = proposal.of(each.module.path)
        why = "by shape and place" if len(candidates) == 1 else "several of this shape" if candidates else "no part"
        found.append(TensorName(name, shape, None, why, candidates))
    return tuple(found)


def rules_text(reading: Reading) -> str:
    """The file of rules to complete: what is proposed, and what is open."""
    proposal = propose(reading)
    unknown = {module.path for module in reading.unknown}.union(*reading.rivals.values())
    blocks = proposal.blocks if reading.dialect.name == NATIVE and proposal.blocks != BLOCK else None
    like = f"like = {json.dumps(reading.dialect.name)}\n" if reading.dialect.name != NATIVE else ""
    lines = [HEADER, 'title = "rules of a person"', f"{like}{f'blocks = {json.dumps(blocks)}' if blocks else ''}\n"]
    below = proposal.below
    lines += _section("network", {path: proposal.of(path) for path in unknown if path not in below})
    lines += _section("in_block", {below[path]: proposal.of(path) for path in unknown if path in below})
    return "\n".join(lines)


def _section(title: str, found: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    if found:
        yield f"[{title}]"
        yield from (_line(path, found[path]) for path in sorted(found, key=natural))
        yield ""


def _line(path: str, candidates: tuple[str, ...]) -> str:
    if len(candidates) == 1:
        return f"{json.dumps(path)} = {json.dumps(candidates[0])}"
    others = " or ".join(map(json.dumps, candidates[1:MOST_SHOWN]))
    first = json.dumps(candidates[0] if candidates else "")
    return f"# ? {json.dumps(path)} = {first}  # {f'or {others}' if candidates else 'no part has its shape'}"
