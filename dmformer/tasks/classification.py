"""Classification: one class for an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from dmformer.chance import most_by_chance
from dmformer.data.dataset import Dataset, Sample
from dmformer.data.folders import better_order
from dmformer.errors import DataError
from dmformer.fields import TensorSpec
from dmformer.preprocessing import Preprocessing
from dmformer.tasks.base import Figure, Legend, Outputs, Result, Tally, Task
from dmformer.tasks.head import Head, HeadLayer

TOP = 5
FEW = 20
"""With fewer images, those whose answers are wrong may be the hard ones."""


class LinearHead(Head):
    """Norm, global average pooling and a linear layer (paper, section 3.1)."""

    kind: Literal["linear"] = "linear"
    network: ClassVar[str] = "dmformer.model.heads:LinearClassifier"

    def layers(self, widths: Sequence[int], size: tuple[int, int]) -> tuple[HeadLayer, ...]:
        return (HeadLayer(widths[-1], self.classes, pooled=size[0] * size[1] // 1024),)

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> LinearHead | None:
        shape = shapes.get("head.weight", ())
        return cls(classes=shape[0]) if len(shape) == 2 else None


@dataclass(frozen=True)
class Guess:
    """One class for one image.

    Attributes:
        index: Of the class.
        label: Its name; the index as text where there is none.
        probability: 0 to 1.
        logit: What the engine gave, of which the probability is the softmax.
    """

    index: int
    label: str
    probability: float
    logit: float


class Classification(Task):
    """The largest of ``[N, classes]`` logits is the class; a target is its index."""

    name = "classification"
    figures = (Figure("top1", "top-1"), Figure("top5", "top-5"))
    heads = (LinearHead,)
    demonstration = "images"

    def output(self, size: tuple[int, int], batch: int | None) -> TensorSpec:
        return TensorSpec(name="logits", shape=(batch, self.head.classes))

    def promise(self) -> str:
        return f"one of {self.head.classes} classes"

    def target(self, sample: Sample, spec: Preprocessing) -> int | None:
        return sample.label

    def check(self, dataset: Dataset) -> None:
        check_labels(dataset, self.head.classes)

    def tally(self, resize: str) -> Tally:
        return TopTally(self.head.classes)

    def answers(
        self, result: Result, resize: str, legend: Legend, sizes: Sequence[tuple[int, int]], most: int
    ) -> list[tuple[Guess, ...]]:
        return [
            tuple(
                Guess(int(index), legend.names[index], float(shares[index]), float(row[index]))
                for index in np.argsort(-shares)[:most]
            )
            for row, shares in zip(result.outputs, softmax(result.outputs), strict=True)
        ]

    def document(self, answer: tuple[Guess, ...]) -> dict[str, Any]:
        return {"classes": [asdict(guess) for guess in answer]}

    def lines(self, answer: tuple[Guess, ...]) -> list[str]:
        return [f"{guess.probability:7.2%}  {guess.label}" for guess in answer]


class TopTally(Tally):
    """Counts images whose class is among the largest one or five logits."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._ranks = {key: rank for key, rank in (("top1", 1), ("top5", TOP)) if rank < classes}
        self._right = dict.fromkeys(self._ranks, 0)
        self._known = True
        self._decisions: list[int] = []
        self._hits: list[bool] = []

    def add(self, result: Result, targets: Sequence[int | None]) -> None:
        outputs = result.outputs
        self._decisions.extend(outputs.argmax(axis=1).tolist())
        self._known = self._known and all(target is not None for target in targets)
        if self._known:
            labels = np.array(targets, np.int64)
            self._hits.extend((outputs.argmax(axis=1) == labels).tolist())
            for key, rank in self._ranks.items():
                self._right[key] += top_k_count(outputs, labels, rank)

    def figures(self) -> dict[str, float]:
        images = len(self._decisions)
        return {key: right / images * 100 for key, right in self._right.items()} if self._known and images else {}

    def by_image(self) -> NDArray[np.float64]:
        return np.array(self._hits if self._known else [], np.float64) * 100 / max(1, len(self._hits))

    def remark(self, dataset: Dataset, indices: Sequence[int], who: str) -> str | None:
        if order := better_order(dataset, indices, np.array(self._decisions, np.int64)):
            return order
        images, right = len(self._decisions), self._right.get("top1", 0)
        if not self._known or images < FEW or right > most_by_chance(images, 1 / self._classes):
            return None
        share = f"{right / images:.1%} of {images:,} images of {dataset.name}"
        return f"{who} answers like chance ({share}): look at --mean, --std, --resize-to and the labels"


def check_labels(dataset: Dataset, classes: int) -> None:
    """Make sure that a dataset's labels are classes of the model; one without labels always passes.

    Args:
        dataset: The dataset.
        classes: Outputs of the model.

    Raises:
        DataError: The number of classes differs, or a label is not from 0 to ``classes - 1``.
    """
    labels = dataset.labels
    if labels is None and dataset.labelled:
        raise DataError(
            f"{dataset.name}: its images have masks, and the model gives a class for an image",
            "Give images in class subfolders, or the weights of a model that gives masks.",
        )
    if labels is None or len(labels) == 0:
        return
    if dataset.classes is not None and len(dataset.classes) != classes:
        raise DataError(
            f"{dataset.name}: classes that do not match the labels: the dataset has {len(dataset.classes)} classes "
            f"but the model has {classes}; {'; '.join((_ends(dataset.classes), *dataset.notes))}",
            "Give a dataset of the model's classes, or name the class folders by the model's class index.",
        )
    for label in (int(labels.min()), int(labels.max())):
        if not 0 <= label < classes:
            raise DataError(
                f"{dataset.name}: classes that do not match the labels: the dataset has label {label} "
                f"but the model has {classes} classes",
                f"Labels count from 0 to {classes - 1}.",
            )


def _ends(classes: Sequence[str]) -> str:
    return f"its classes are {', '.join(map(repr, classes[:3]))} to {classes[-1]!r}"


def top_k_count(logits: Outputs, labels: NDArray[np.int64], k: int) -> int:
    """How many images have their class among the ``k`` largest logits.

    Args:
        logits: ``[N, classes]``.
        labels: ``[N]``.
        k: 1 or more, less than the number of classes.
    """
    best = np.argpartition(-logits, k - 1, axis=1)[:, :k] if k > 1 else logits.argmax(1)[:, None]
    return int((best == labels[:, None]).any(1).sum())


def softmax(logits: Outputs) -> NDArray[np.float64]:
    """Probabilities over the last axis."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    shares: NDArray[np.float64] = shifted / shifted.sum(-1, keepdims=True)
    return shares
