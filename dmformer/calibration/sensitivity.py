"""Leave-one-out sensitivity of layer groups, and the search for a plan that holds a floor.

Each unit (a group of one block, or one kind of group in a stage) is put back to float while all else stays
integer. What the error falls by is what its integers cost; what the time grows by is what they save. Both
are measured on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dmformer.errors import UsageError
from dmformer.graph.qdq.sites import groups_of, kind_of
from dmformer.progress import Progress, Silent

if TYPE_CHECKING:
    import onnx

Build = Callable[[frozenset[str]], "onnx.ModelProto"]
"""The quantized graph for a set of integer groups."""
Noise = Callable[["onnx.ModelProto"], float]
"""Share of the energy of the float model's outputs that is noise in the graph's, on a fixed set of images."""
Milliseconds = Callable[["onnx.ModelProto"], float]
"""The latency of a graph in the target runtime."""
Granularity = Literal["block", "stage"]


@dataclass(frozen=True)
class Sensitivity:
    """What the integers of one unit cost and save.

    Attributes:
        unit: Its name: a group, or ``stages.0.*.dma.expand`` for that kind in a whole stage.
        groups: The groups in it.
        noise: Share of the outputs' energy that is quantization noise caused by it; below zero where its
            error cancels another's.
        saved_ms: Milliseconds that it saves per run; below zero where float is faster.
    """

    unit: str
    groups: tuple[str, ...]
    noise: float
    saved_ms: float

    @property
    def noise_per_ms(self) -> float:
        """What the search orders by: noise removed per millisecond given up."""
        return self.noise / max(self.saved_ms, 1e-3)


@dataclass(frozen=True)
class Verdict:
    """Whether a graph holds the floor, and the figures in words."""

    passed: bool
    summary: str


@dataclass(frozen=True)
class PlanSearch:
    """The result of a search.

    Attributes:
        int8_groups: Groups left as integers.
        returned: Units put back to float, in that order.
        verdict: Of the final graph.
    """

    int8_groups: frozenset[str]
    returned: tuple[Sensitivity, ...]
    verdict: Verdict


def units_of(
    model: onnx.ModelProto, int8_groups: Collection[str], granularity: Granularity
) -> dict[str, tuple[str, ...]]:
    """The integer groups of a model by unit, in the order of the computation.

    Args:
        model: The canonical graph.
        int8_groups: Groups that are integers to begin with.
        granularity: ``block``: every group is a unit; ``stage``: one kind in one stage is.
    """
    units: dict[str, list[str]] = {}
    for group in groups_of(model):
        if group in int8_groups:
            units.setdefault(group if granularity == "block" else _stage_unit(group), []).append(group)
    return {unit: tuple(groups) for unit, groups in units.items()}


def _stage_unit(group: str) -> str:
    parts = group.split(".")
    return f"stages.{parts[1]}.*.{kind_of(group)}" if parts[0] == "stages" else group


def measure_sensitivity(
    units: Mapping[str, tuple[str, ...]],
    build: Build,
    noise: Noise,
    milliseconds: Milliseconds,
    progress: Progress | None = None,
) -> list[Sensitivity]:
    """Measures every unit by leaving it out.

    Args:
        units: Groups by unit; together they are all integer groups.
        build: Makes the quantized graph.
        noise: Runs it.
        milliseconds: Times it.
        progress: Watches.

    Returns:
        One result for each unit, most noise per millisecond first.
    """
    everything = frozenset(group for groups in units.values() for group in groups)
    whole = build(everything)
    whole_noise, whole_ms = noise(whole), milliseconds(whole)
    results = []
    for unit, groups in (progress or Silent()).track(units.items(), "measuring sensitivity", len(units)):
        rest = build(everything - set(groups))
        results.append(Sensitivity(unit, groups, whole_noise - noise(rest), milliseconds(rest) - whole_ms))
    return sorted(results, key=lambda one: (-one.noise_per_ms, one.unit))


def search_plan(
    int8_groups: Collection[str],
    sensitivities: Callable[[], list[Sensitivity]],
    build: Build,
    judge: Callable[[onnx.ModelProto], Verdict],
    progress: Progress | None = None,
) -> PlanSearch:
    """Puts units back to float, most noise per millisecond first, until the floor holds.

    Args:
        int8_groups: Groups that are integers to begin with.
        sensitivities: Measures them; asked only if the floor does not hold at once.
        build: Makes the quantized graph.
        judge: Compares it with the floor.
        progress: Watches.

    Raises:
        UsageError: The floor does not hold with every group in float either.
    """
    remaining = frozenset(int8_groups)
    verdict = judge(build(remaining))
    if verdict.passed:
        return PlanSearch(remaining, (), verdict)
    order = sensitivities()
    returned: list[Sensitivity] = []
    for one in (progress or Silent()).track(order, "searching a plan", len(order)):
        remaining -= set(one.groups)
        returned.append(one)
        verdict = judge(build(remaining))
        if verdict.passed:
            return PlanSearch(remaining, tuple(returned), verdict)
    raise UsageError(
        f"no precision plan holds the floor: with every layer in float it is still {verdict.summary}",
        "allow a larger --max-drop",
    )


def pareto(results: Collection[Sensitivity]) -> list[Sensitivity]:
    """The units that no other beats in both error and time, by time saved: the front of the picture."""
    front: list[Sensitivity] = []
    for one in sorted(results, key=lambda one: (-one.saved_ms, one.noise)):
        if not front or one.noise < front[-1].noise:
            front.append(one)
    return front
