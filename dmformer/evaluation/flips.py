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
from dmformer.tasks.base import Decisions, Legend, Outputs, Result, Task, View

MOST_IMAGES = 24
Entry = tuple[float, int, int | None, int, int, float, float]
"""An image to show: rank, number, class, both answers, margin, changed share."""


@dataclass(frozen=True)
class Flip:
    """One image with another answer.

    Attributes:
        image: uint8 HWC.
        label: Index of its class, or None where it is not known.
        before: Index of the reference's answer; ``after`` the engine's: of many decisions the change seen most often.
        margin: How far the reference's two best logits were apart: small where it was nearly undecided.
        share: Part of the image's decisions that changed.
        views: Pictures of what is right and of both answers, where decisions have places.
    """

    image: NDArray[np.uint8]
    label: int | None
    before: int
    after: int
    margin: float
    share: float = 1.0
    views: tuple[View, ...] = ()


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
        count: How many answers changed; ``shown`` the first of them: those with the largest margin, of images with
            many decisions those of which most changed.
        decisions: How many were compared; ``changed`` how many of them changed.
        confusion: Times that each pair (reference's class, engine's class) occurred, the most frequent first; where
            every place of an image has a class, places are counted.
        classes: Per class; empty without labels.
    """

    data: str
    images: int
    count: int
    decisions: int
    changed: int
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
    resize = reference.framing.resize if reference is not None else bundle.manifest.preprocessing.resize
    count, legend = FlipCount(bundle.manifest.task, resize), bundle.manifest.legend
    with open_engine(bundle) as engine:
        if reference is None:
            golden = bundle.golden()
            count.add(golden.outputs, engine.run_tensors(golden.tensors), golden.targets)
            return count.flips(golden.title, lambda index: golden.images[index], legend)
        images = reference.images
        for part in answered(engine, images, reference.framing, progress):
            count.add(reference.read(count.images, len(part.targets)), part.result, part.targets)
    return count.flips(reference.dataset.name, lambda index: images.load(index).image, legend)


class FlipCount:
    """Counts changed answers image by image; of the outputs nothing is kept but the decisions of the images to show.

    Attributes:
        images: How many were counted.
    """

    def __init__(self, task: Task, resize: str = "exact") -> None:
        self._task, self._resize = task, resize
        self.images = self._changed = self._decisions = 0
        self._shown: list[Entry] = []
        self._places: dict[int, tuple[Any, Decisions, Decisions]] = {}
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
            self._add_one(before[row], after[row], float(margins[row]), target)

    def _add_one(self, before: Decisions, after: Decisions, margin: float, target: Any) -> None:
        """Counts an image: ``before`` and ``after`` hold its decision, or one for each of its places."""
        dense, label = np.ndim(before) > 0, target if isinstance(target, int) else None
        differ = np.atleast_1d(before != after)
        old, new = np.atleast_1d(before)[differ], np.atleast_1d(after)[differ]
        pairs = Counter(zip(old.tolist(), new.tolist(), strict=True))
        self._known = self._known and label is not None and not dense
        if label is not None and not dense:
            self._classes[label, int(before) == label, int(after) == label] += 1
        if pairs:
            self._changed += 1
            self._pairs.update(pairs)
            share = float(differ.mean())
            # Of equal ranks the first image stays: numbers count backwards.
            entry = (share if dense else margin, -self.images, label, *pairs.most_common(1)[0][0], margin, share)
            if dense:
                self._places[self.images] = (target, before.astype(np.int16), after.astype(np.int16))
            push = heapq.heappush if len(self._shown) < MOST_IMAGES else heapq.heappushpop
            if (out := push(self._shown, entry)) is not None:
                self._places.pop(-out[1], None)
        self._decisions += differ.size
        self.images += 1

    def flips(self, data: str, image: Callable[[int], NDArray[np.uint8]], legend: Legend) -> Flips:
        """All that was counted.

        Args:
            data: What the images are.
            image: Gives the uint8 HWC image of a number.
            legend: How the classes are called and drawn.
        """
        shown = sorted(self._shown, key=lambda entry: (-entry[0], -entry[1]))

        def flip(entry: Entry) -> Flip:
            _, number, label, old, new, margin, share = entry
            picture, places = image(-number), self._places.get(-number)
            views = self._task.views(picture, *places, self._resize, legend) if places else ()
            return Flip(picture, label, old, new, margin, share, views)

        return Flips(
            data,
            self.images,
            self._changed,
            self._decisions,
            self._pairs.total(),
            tuple(map(flip, shown)),
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
