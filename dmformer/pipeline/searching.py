"""The search for a precision plan: units go back to float until the proof of what would be shipped holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dmformer.bundle import Bundle
from dmformer.calibration.sensitivity import Sensitivity, fewest_in_float
from dmformer.manifest import Proof, Tolerance
from dmformer.pipeline.quantizing import Int8Graphs, Quantized, SearchImages, holds_integers
from dmformer.progress import Progress
from dmformer.tasks.base import Figure


@dataclass(frozen=True)
class Made:
    """An engine that was built and proven.

    Attributes:
        quantized: Its graph.
        bundle: Where it was built, until another one is built there.
        proof: What it was found to keep.
    """

    quantized: Quantized
    bundle: Bundle
    proof: Proof

    def shortfall(self, headline: Figure | None) -> tuple[int, float, float]:
        """The less, the better: how many floors it falls below, what it lost of the headline, and its noise in dB."""
        last = self.proof.comparisons[-1]
        score = last.figures.get(headline.key) if headline else None
        lost = max(0.0, score.drop or 0.0) if score else 0.0
        return len(self.proof.failures), lost, float("-inf") if last.sqnr_db is None else -last.sqnr_db


def search_plan(
    int8: Int8Graphs,
    first: Made,
    prove: Callable[[Quantized], Made],
    images: SearchImages,
    tolerance: Tolerance,
    progress: Progress,
) -> Made:
    """The engine with as many integers as the proof allows; where none passes, the one that falls short by least.

    Units go back to float most noise per millisecond first. Each engine is the one that would be shipped, and is judged
    by its whole proof; only one that clearly fails on some of the images is spared that.

    Args:
        int8: Makes the graphs.
        first: The engine of the whole plan, whose proof failed.
        prove: Builds a graph and proves it.
        images: Some of those of the proof.
        tolerance: What must hold.
        progress: Told of each unit what it costs, and of each engine how it fared.
    """
    progress.say(f"{int8.target}: below the floor ({'; '.join(first.proof.failures)}): searching a precision plan")
    found = int8.sensitivities(images, "stage", int8.planned, progress)
    order = [one for one in found if one.noise or one.saved_ms]
    left = [int8.planned.difference(*(one.groups for one in order[:count])) for count in range(len(order) + 1)]
    most = max(count for count, groups in enumerate(left) if holds_integers(int8.model, groups))
    made, costs = [first], in_words(order)
    sparing = 2 * len(images.tensors) <= first.proof.largest.images

    def holds(count: int) -> bool:
        while costs and len(order) - len(costs) < count:
            progress.say(f"{int8.target}: back to float: {costs.pop(0)}")
        quantized = int8.make(left[count], progress)
        below = tuple(int8.clearly_below(images, tolerance, quantized.graph)) if sparing and count < most else ()
        if not below:
            made.append(prove(quantized))
            below = made[-1].proof.failures
        said = "; ".join(below) or "the proof holds"
        progress.say(f"{int8.target}: with {count} of {len(order)} units in float: {said}")
        return not below

    enough = fewest_in_float(most, holds) if most else None
    if enough is None:
        progress.say(f"{int8.target}: no plan with a layer in integers holds the floor: the best engine is kept")
        return min(made, key=lambda one: one.shortfall(int8.task.headline))
    progress.say(f"{int8.target}: back to float to hold the floor: {', '.join(one.unit for one in order[:enough])}")
    # The smaller a number, the later it was tried.
    return [one for one in made if one.proof.passed][-1]


def in_words(order: list[Sensitivity]) -> list[str]:
    """What each unit costs and saves."""
    total = sum(max(0.0, one.noise) for one in order) or 1.0
    return [f"{one.unit} ({one.noise / total:.1%} of the noise, saves {one.saved_ms:.3f} ms)" for one in order]
