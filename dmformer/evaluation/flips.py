"""Images on which an engine answers otherwise than the reference: which, and from which class to which."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle
from dmformer.evaluation.batches import answered
from dmformer.evaluation.reference import ReferenceOutputs
from dmformer.progress import Progress
from dmformer.runtimes.engine import open_engine
from dmformer.tasks.base import Outputs, Result, Task

MOST_IMAGES = 24


@dataclass(frozen=True)
class Flip:
    """One image with another answer.

    Attributes:
        image: uint8 HWC.
        label: Index of its class, or None where it is not known.
        before: Index of the reference's answer; ``after`` the engine's.
        margin: How far the reference's two best logits were apart: small where it was nearly undecided.
    """

    image: NDArray[np.uint8]
    label: int | None
    before: int
    after: int
    margin: float


@dataclass(frozen=True)
class ClassChange:
    """One class: how many images, and how many of them the reference and the engine got right."""

    index: int
    images: int
    before_right: int
    after_right: int


@dataclass(frozen=True)
class Flips:
    """An engine's changed answers on one set.

    Attributes:
        data: What the images are; ``images`` how many.
        count: How many answers changed; ``shown`` the first of them, those with the largest margin first.
        confusion: Times that each pair (reference's class, engine's class) occurred, the most frequent first; where
            every place of an image has a class, places are counted.
        classes: Per class; empty without labels.
    """

    data: str
    images: int
    count: int
    shown: tuple[Flip, ...]
    confusion: tuple[tuple[int, int, int], ...]
    classes: tuple[ClassChange, ...]


def find_flips(bundle: Bundle, reference: ReferenceOutputs | None, progress: Progress) -> Flips:
    """Runs an engine and compares every decision with the reference's.

    Args:
        bundle: The engine.
        reference: PyTorch on a dataset; None takes the golden samples.
        progress: Watches the dataset.
    """
    count = FlipCount(bundle.manifest.task)
    with open_engine(bundle) as engine:
        if reference is None:
            golden = bundle.golden()
            count.add(golden.outputs, engine.run_tensors(golden.tensors), golden.targets)
            return count.flips(golden.title, lambda index: golden.images[index])
        images = reference.images
        for part in answered(engine, images, reference.framing, progress):
            count.add(reference.read(count.images, len(part.targets)), part.result, part.targets)
    return count.flips(reference.dataset.name, lambda index: images.load(index).image)


class FlipCount:
    """Counts changed answers image by image; no outputs are kept.

    Attributes:
        images: How many were counted.
    """

    def __init__(self, task: Task) -> None:
        self._task, self.images, self._changed = task, 0, 0
        # The images to show: margin, number, class, both answers.
        self._shown: list[tuple[float, int, int | None, int, int]] = []
        self._pairs: Counter[tuple[int, int]] = Counter()
        self._classes: Counter[tuple[int, bool, bool]] = Counter()
        self._known = True

    def add(self, reference: Outputs, result: Result, targets: Sequence[Any]) -> None:
        """Counts some images.

        Args:
            reference: ``[n, ...]``.
            result: What the engine gave for them.
            targets: What is right for each; None where that is not known.
        """
        before, after = self._task.decisions(reference), self._task.decided(result)
        margins = self._task.margins(reference)
        for row, target in enumerate(targets):
            label = target if isinstance(target, int) and before.ndim == 1 else None
            self._add_one(before[row].reshape(-1), after[row].reshape(-1), float(margins[row]), label)

    def _add_one(self, before: NDArray[np.int64], after: NDArray[np.int64], margin: float, label: int | None) -> None:
        """Counts an image: ``before`` and ``after`` hold its decisions, be they one or many."""
        pairs = Counter(zip(before[before != after].tolist(), after[before != after].tolist(), strict=True))
        self._known = self._known and label is not None
        if label is not None:
            self._classes[label, int(before[0]) == label, int(after[0]) == label] += 1
        if pairs:
            self._changed += 1
            self._pairs.update(pairs)
            # Of equal margins the first image stays: numbers count backwards.
            entry = (margin, -self.images, label, *pairs.most_common(1)[0][0])
            push = heapq.heappush if len(self._shown) < MOST_IMAGES else heapq.heappushpop
            push(self._shown, entry)
        self.images += 1

    def flips(self, data: str, image: Callable[[int], NDArray[np.uint8]]) -> Flips:
        """All that was counted.

        Args:
            data: What the images are.
            image: Gives the uint8 HWC image of a number.
        """
        shown = sorted(self._shown, key=lambda entry: (-entry[0], -entry[1]))
        return Flips(
            data,
            self.images,
            self._changed,
            tuple(Flip(image(-number), label, before, after, margin) for margin, number, label, before, after in shown),
            tuple((old, new, count) for (old, new), count in self._pairs.most_common()),
            self._by_class() if self._known else (),
        )

    def _by_class(self) -> tuple[ClassChange, ...]:
        def total(label: int, before: tuple[bool, ...], after: tuple[bool, ...]) -> int:
            return sum(self._classes[label, old, new] for old in before for new in after)

        either, right = (False, True), (True,)
        return tuple(
            ClassChange(label, total(label, either, either), total(label, right, either), total(label, either, right))
            for label in sorted({label for label, _, _ in self._classes})
        )
