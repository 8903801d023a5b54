"""Images on which an engine answers otherwise than the reference: which, and from which class to which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle
from dmformer.evaluation.metrics import Logits
from dmformer.evaluation.verify import Answers, run_all, run_dataset
from dmformer.progress import Progress
from dmformer.runtimes.base import SessionOptions
from dmformer.runtimes.registry import open_bundle

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
        confusion: Times that each pair (reference's class, engine's class) occurred, the most frequent first.
        classes: Per class; empty without labels.
    """

    data: str
    images: int
    count: int
    shown: tuple[Flip, ...]
    confusion: tuple[tuple[int, int, int], ...]
    classes: tuple[ClassChange, ...]


def find_flips(bundle: Bundle, answers: Answers | None, progress: Progress) -> Flips:
    """Runs an engine and compares every answer with the reference's.

    Args:
        bundle: The engine.
        answers: The reference on a dataset; None takes the golden samples.
        progress: Watches the dataset.
    """
    with open_bundle(bundle, SessionOptions()) as session:
        if answers is None:
            golden = bundle.golden()
            found = run_all(bundle, session, golden.tensors)
            labels = golden.labels if bool((golden.labels >= 0).all()) else None
            return flips_of("golden samples", golden.logits, found, labels, lambda index: golden.images[index])
        chosen = answers.dataset.select(answers.indices)
        found, _ = run_dataset(bundle, session, chosen, progress)
    return flips_of(answers.dataset.name, answers.logits, found, answers.labels, lambda index: chosen.load(index).image)


def flips_of(
    data: str,
    reference: Logits,
    found: Logits,
    labels: NDArray[np.int64] | None,
    image: Callable[[int], NDArray[np.uint8]],
) -> Flips:
    """The changed answers from both sides' logits.

    Args:
        data: What the images are.
        reference: ``[N, classes]``.
        found: The engine's, likewise.
        labels: ``[N]``, or None.
        image: Gives the uint8 HWC image of an index.
    """
    before, after = reference.argmax(1), found.argmax(1)
    changed = np.flatnonzero(before != after)
    best = np.sort(reference.astype(np.float64), axis=1)
    margins = best[:, -1] - best[:, -2:][:, 0]  # None where there is one class only.
    shown = sorted(changed, key=lambda index: -margins[index])[:MOST_IMAGES]
    pairs = Counter((int(before[index]), int(after[index])) for index in changed)
    return Flips(
        data,
        len(reference),
        len(changed),
        tuple(
            Flip(
                image(int(index)),
                None if labels is None else int(labels[index]),
                int(before[index]),
                int(after[index]),
                float(margins[index]),
            )
            for index in shown
        ),
        tuple((old, new, count) for (old, new), count in pairs.most_common()),
        _classes(before, after, labels),
    )


def _classes(
    before: NDArray[np.int64], after: NDArray[np.int64], labels: NDArray[np.int64] | None
) -> tuple[ClassChange, ...]:
    if labels is None:
        return ()
    return tuple(
        ClassChange(
            int(index),
            int((labels == index).sum()),
            int((before[labels == index] == index).sum()),
            int((after[labels == index] == index).sum()),
        )
        for index in np.unique(labels)
    )
