"""Sensitivity of layer groups, and the search for how many must be float for a proof to hold.

Each unit (a group of one block, or one kind of group in a stage) is alone in integers: the noise of that is what they
cost. Left out of a plan instead, a unit would be charged with the errors of others that it cancels, and credited with
those that it adds to. In the plan it is turned to the other precision: what the time differs by is what its integers
save. Both are measured on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dmformer.graph.qdq.affine import Precision
from dmformer.graph.qdq.sites import groups_of
from dmformer.progress import Progress, Silent

if TYPE_CHECKING:
    import onnx

Build = Callable[[frozenset[str]], "onnx.ModelProto"]
"""The quantized graph for a set of integer groups."""
Noise = Callable[[frozenset[str]], float]
"""Share of the energy of the float model's outputs that is noise with these groups in integers."""
Milliseconds = Callable[["onnx.ModelProto"], float]
"""The latency of a graph in the target runtime."""
Granularity = Literal["block", "stage"]
MEASURABLE_MS = 0.05
"""Less time than this does not tell units apart: where so little is saved, the noise decides. This project's choice."""


@dataclass(frozen=True)
class Sensitivity:
    """What the integers of one unit cost and save.

    Attributes:
        unit: Its name: a group, or ``stages.0.*.dma.expand`` for that kind in a whole stage.
        groups: The groups in it.
        noise: Share of the outputs' energy that is quantization noise where it alone is in integers.
        saved_ms: Milliseconds that it saves per run; below zero where float is faster. Both are 0 where the target has
            no integers for it.
        planned: What the plan makes of it. Of one in float, the figures are those that its integers would have.
    """

    unit: str
    groups: tuple[str, ...]
    noise: float
    saved_ms: float
    planned: Precision = "int8"

    @property
    def noise_per_ms(self) -> float:
        """What the search orders by: noise removed per millisecond given up."""
        return self.noise / max(self.saved_ms, MEASURABLE_MS)


def units_of(model: onnx.ModelProto, chosen: Collection[str], granularity: Granularity) -> dict[str, tuple[str, ...]]:
    """Some groups of a model by unit, in the order of the computation.

    Args:
        model: The canonical graph.
        chosen: The groups.
        granularity: ``block``: every group is a unit; ``stage``: one kind in one stage is.
    """
    units: dict[str, list[str]] = {}
    for group in groups_of(model):
        if group in chosen:
            units.setdefault(group if granularity == "block" else _stage_unit(group), []).append(group)
    return {unit: tuple(groups) for unit, groups in units.items()}


def _stage_unit(group: str) -> str:
    stages, *place = group.split(".", 3)
    return f"stages.{place[0]}.*.{place[2]}" if stages == "stages" else group


def measure_sensitivity(
    planned: frozenset[str],
    units: Sequence[tuple[str, tuple[str, ...]]],
    build: Build,
    noise: Noise,
    milliseconds: Milliseconds,
    progress: Progress | None = None,
) -> list[Sensitivity]:
    """Measures every unit.

    Args:
        planned: The groups that the plan makes integers.
        units: Names and groups; those of one unit are all integers or all float.
        build: Makes a quantized graph.
        noise: Makes one and runs it.
        milliseconds: Times one.
        progress: Watches.

    Returns:
        One result for each unit, most noise per millisecond first.
    """
    whole = build(planned)
    whole_ms = milliseconds(whole)

    def measured(unit: str, groups: tuple[str, ...]) -> Sensitivity:
        left_out = not planned.isdisjoint(groups)
        precision: Precision = "int8" if left_out else "float"
        other = build(planned ^ set(groups))
        if other == whole:
            return Sensitivity(unit, groups, 0.0, 0.0, precision)
        longer = milliseconds(other) - whole_ms
        return Sensitivity(unit, groups, noise(frozenset(groups)), longer if left_out else -longer, precision)

    watched = (progress or Silent()).track(units, "measuring sensitivity", len(units))
    return sorted((measured(*unit) for unit in watched), key=lambda one: (-one.noise_per_ms, one.unit))


def fewest_in_float(most: int, holds: Callable[[int], bool]) -> int | None:
    """The number of units that go back to float, first ones of an order, until something holds.

    One, then with each failure twice as many more; from the first that holds back towards the last that did not: of
    ``n`` units about ``2 log2(n)`` are tried.

    Args:
        most: How many can go back.
        holds: Whether it holds with so many in float. It is asked no number twice, and 0 is known to fail.

    Returns:
        None where it does not hold with ``most`` either.
    """
    fails, step = 0, 1
    while not holds(enough := min(fails + step, most)):
        if enough == most:
            return None
        fails, step = enough, 2 * step
    while enough - fails > 1:
        middle = (fails + enough) // 2
        fails, enough = (fails, middle) if holds(middle) else (middle, enough)
    return enough


def pareto(results: Collection[Sensitivity]) -> list[Sensitivity]:
    """The units that no other beats in both error and time, by time saved: the front of the picture."""
    front: list[Sensitivity] = []
    for one in sorted(results, key=lambda one: (-one.saved_ms, one.noise)):
        if not front or one.noise < front[-1].noise:
            front.append(one)
    return front
