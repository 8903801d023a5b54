"""Semantic segmentation: a class for every pixel of a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmformer.data.dataset import IGNORED, Dataset, Sample
from dmformer.data.mask_checks import check_masks
from dmformer.errors import DataError
from dmformer.fields import Palette, TensorSpec
from dmformer.geometry import Placement, Sampling, Size, placement
from dmformer.preprocessing import Preprocessing
from dmformer.tasks.base import ClassMap, Decisions, Figure, Legend, Outputs, Result, Tally, Task, View
from dmformer.tasks.overlay import colours_of, overlay, painted, with_legend
from dmformer.tasks.segmentation_heads import STRIDE, DenseHead, FpnHead, UperNetHead
from dmformer.texts import brief

GROUND = "background"
"""What is not the class of a binary model."""
Mask = NDArray[np.int16]
ROWS = 16
MOST_SMALL = 256
"""Maps of no more classes take a byte for a pixel."""


@dataclass(frozen=True)
class Segmentation:
    """The classes of one picture.

    Attributes:
        classes: Index of the class of every pixel of the picture, ``[H, W]``: uint8, of more than 256 classes int32.
        names: One for each index.
        palette: A colour for each index.

    Examples:
        >>> import dmformer
        >>> import numpy as np
        >>> answer = dmformer.Segmentation(np.eye(2, dtype=np.uint8), ("road", "car"), ((0, 0, 0), (128, 0, 0)))
        >>> answer.shares
        {'road': 0.5, 'car': 0.5}
    """

    classes: NDArray[np.uint8] | NDArray[np.int32]
    names: tuple[str, ...]
    palette: Palette

    def __repr__(self) -> str:
        shares = {name: f"{share:.1%}" for name, share in self.shares.items()}
        return brief("Segmentation", {"size": self.classes.shape, "shares": shares})

    @property
    def shares(self) -> dict[str, float]:
        """The part of the picture that each class covers, 0 to 1, the largest first; only classes that are there."""
        counts = np.bincount(self.classes.ravel(), minlength=len(self.names))
        order = sorted(np.flatnonzero(counts), key=lambda index: -counts[index])
        return {self.names[index]: float(counts[index] / self.classes.size) for index in order}

    def overlay(self, image: NDArray[np.uint8], opacity: float = 0.5) -> NDArray[np.uint8]:
        """The picture with the classes' colours over it, boundaries sharp: uint8 RGB ``[H, W, 3]``.

        Args:
            image: The picture, uint8 ``[H, W, 3]``.
            opacity: Of the colours, 0 to 1.

        Raises:
            DataError: The picture is of another size.
        """
        return overlay(image, self.classes, self.palette, opacity)


class SemanticSegmentation(Task):
    """The largest of ``[N, classes, H / 4, W / 4]`` scores at a pixel is its class; a target is a mask of the picture.

    One plane of scores alone is a binary model's: what exceeds the head's threshold is the class, the rest is not.
    """

    name = "segmentation"
    figures = (Figure("miou", "mIoU"), Figure("aacc", "aAcc"), Figure("macc", "mAcc"))
    heads = (FpnHead, UperNetHead)
    has_places = True
    demonstration = "scenes"

    def output(self, size: Size, batch: int | None) -> TensorSpec:
        return TensorSpec(name="scores", shape=(batch, self.head.classes, size[0] // STRIDE, size[1] // STRIDE))

    def class_map(self, output: TensorSpec) -> ClassMap:
        batch, _, *grid = output.shape
        shape = (batch, *(None if side is None else side * STRIDE for side in grid))
        kind: Literal["uint8", "int32"] = "uint8" if self.kinds_of_pixels <= MOST_SMALL else "int32"
        return ClassMap(TensorSpec(name="classes", shape=shape, dtype=kind), self.head.classes, STRIDE, self.logit)

    def promise(self) -> str:
        return f"one of {self.kinds_of_pixels} classes for every pixel"

    @property
    def kinds_of_pixels(self) -> int:
        """How many classes a pixel may have."""
        return max(2, self.head.classes)

    def target(self, sample: Sample, spec: Preprocessing) -> Mask | None:
        if sample.mask is not None and (largest := int(sample.mask.max(initial=IGNORED))) >= self.kinds_of_pixels:
            raise DataError(
                f"{sample.name}: its mask holds class {largest}, and the model's are 0 to {self.kinds_of_pixels - 1}",
                "give --ignore-index, --reduce-zero-label, or masks of the model's classes",
            )
        return sample.mask

    def check_input(self, spec: Preprocessing) -> None:
        placement((1, 1), spec.size, spec.resize)

    def check(self, dataset: Dataset) -> None:
        if dataset.classes is not None and len(dataset.classes) not in (self.head.classes, self.kinds_of_pixels):
            raise DataError(
                f"{dataset.name}: has {len(dataset.classes)} classes, the model has {self.head.classes}",
                "give a set of the model's classes; where 0 in masks is no class, as in ADE20K, --reduce-zero-label",
            )
        check_masks(dataset, self.kinds_of_pixels)

    def tally(self, resize: str) -> ConfusionTally:
        return ConfusionTally(self, resize)

    def answers(
        self, result: Result, resize: str, legend: Legend, sizes: Sequence[Size], most: int
    ) -> list[Segmentation]:
        legend = self.drawn(legend)
        names, palette = legend.names, legend.palette or ()
        return [
            Segmentation(
                classes.astype(np.uint8) if len(names) <= MOST_SMALL else classes.astype(np.int32), names, palette
            )
            for classes in self.maps(result, resize, sizes)
        ]

    def drawn(self, legend: Legend) -> Legend:
        names, palette = legend.names, legend.palette
        if self.head.classes == 1:
            names, palette = (GROUND, *names), palette and ((0, 0, 0), *palette)
        return Legend(names, colours_of(palette, len(names)))

    def maps(self, result: Result, resize: str, sizes: Sequence[Size]) -> Iterator[Decisions]:
        """The class of every pixel of each picture, ``[H, W]``.

        Args:
            result: What was given for n pictures, of which the decisions count where they are there.
            resize: How the pictures lie in the inputs.
            sizes: Of the n pictures.
        """
        for row, picture in enumerate(sizes):
            if result.decisions is not None:
                given = result.decisions[row]
                yield Sampling.of(picture, placement(picture, given.shape, resize), 1).nearest(given)
            else:
                scores = result.outputs[row]
                size = (scores.shape[1] * STRIDE, scores.shape[2] * STRIDE)
                yield self.decide(scores, Sampling.of(picture, placement(picture, size, resize), STRIDE))

    def decide(self, scores: Outputs, sampling: Sampling) -> Decisions:
        """The class ``[H, W]`` of each pixel: scores ``[classes, h, w]`` are interpolated, then it is decided."""
        rows, columns = sampling.bilinear((scores.shape[1], scores.shape[2]))
        last = np.ascontiguousarray(scores.transpose(1, 2, 0))
        width, classes = last.shape[1:]
        decided: Decisions = np.empty((len(rows), len(columns)), np.int64)
        # A few rows of the picture at a time: scores of all its pixels would take its memory many times.
        for start in range(0, len(rows), ROWS):
            part = rows[start : start + ROWS] @ last.reshape(len(last), -1)
            decided[start : start + ROWS] = self._of_scores(columns @ part.reshape(-1, width, classes))
        return decided

    def _of_scores(self, scores: Outputs) -> Decisions:
        """Of scores ``[..., classes]``."""
        binary = scores.shape[-1] == 1
        return (scores[..., 0] > self.logit).astype(np.int64) if binary else scores.argmax(-1).astype(np.int64)

    @property
    def logit(self) -> float:
        """The score that a binary model's class must exceed."""
        threshold = self.head.threshold if isinstance(self.head, DenseHead) else 0.5
        return math.log(threshold / (1 - threshold))

    def decisions(self, outputs: Outputs) -> Decisions:
        """At every pixel of the input, ``[N, H, W]``: what a graph that decides itself gives."""
        size = (outputs.shape[2] * STRIDE, outputs.shape[3] * STRIDE)
        sampling = Sampling.of(size, Placement(0, 0, *size), STRIDE)
        return np.stack([self.decide(scores, sampling) for scores in outputs])

    def margins(self, outputs: Outputs) -> NDArray[np.float64]:
        if outputs.shape[1] == 1:
            margins: NDArray[np.float64] = np.abs(outputs - self.logit).reshape(len(outputs), -1).mean(axis=1)
            return margins
        return super().margins(outputs)

    def picture(self, answer: Segmentation, image: NDArray[np.uint8]) -> Image.Image:
        colours = dict(zip(answer.names, answer.palette, strict=True))
        return with_legend(answer.overlay(image), answer.shares, colours)

    def views(
        self, image: NDArray[np.uint8], target: Any, before: Decisions, after: Decisions, resize: str, legend: Legend
    ) -> tuple[View, ...]:
        palette = self.drawn(legend).palette or ()
        picture = (image.shape[0], image.shape[1])
        own = [Sampling.of(picture, placement(picture, one.shape, resize), 1).nearest(one) for one in (before, after)]
        titled = [("truth", target), ("PyTorch", own[0]), ("engine", own[1])]
        return tuple(View(title, painted(classes, palette)) for title, classes in titled if classes is not None)

    def document(self, answer: Segmentation) -> dict[str, Any]:
        height, width = answer.classes.shape
        return {"height": height, "width": width, "shares": answer.shares}

    def lines(self, answer: Segmentation) -> list[str]:
        return [f"{share:7.2%}  {name}" for name, share in answer.shares.items()]


class ConfusionTally(Tally):
    """One confusion matrix over all pixels of a set, at the resolution of the masks; ignored ones count nowhere.

    Source: mmsegmentation's ``IoUMetric``: IoU over the whole set, not a mean over pictures; a class that is neither in
    the masks nor in the answers is left out of the means.
    """

    def __init__(self, task: SemanticSegmentation, resize: str) -> None:
        self._task, self._resize, self._known, self._pictures = task, resize, True, 0
        self.matrix = np.zeros((task.kinds_of_pixels, task.kinds_of_pixels), np.int64)
        """Pixels by class in the mask (rows) and in the answer (columns)."""
        self._by_picture: list[NDArray[np.float32]] = []
        """Of each picture, by class: the pixels in both, and those in either."""

    def add(self, result: Result, targets: Sequence[Mask | None]) -> None:
        self._pictures += len(targets)
        self._known = self._known and all(target is not None for target in targets)
        if not self._known:
            return
        masks = [target for target in targets if target is not None]
        sizes = [(mask.shape[0], mask.shape[1]) for mask in masks]
        side = len(self.matrix)
        for mask, classes in zip(masks, self._task.maps(result, self._resize, sizes), strict=True):
            counted = mask != IGNORED
            pairs = mask[counted].astype(np.int64) * side + classes[counted]
            matrix = np.bincount(pairs, minlength=side * side).reshape(side, side)
            self._by_picture.append(np.stack(both_and_either(matrix)).astype(np.float32))
            self.matrix += matrix

    def figures(self) -> dict[str, float]:
        total = int(self.matrix.sum())
        if not self._known or total == 0:
            return {}
        right, truth = np.diag(self.matrix), self.matrix.sum(axis=1)
        there = truth > 0
        overlaps = [share for share in self.by_class() if share is not None]
        return {
            "miou": float(np.mean(overlaps)),
            "aacc": float(right.sum() / total * 100),
            "macc": float(np.mean(right[there] / truth[there]) * 100),
        }

    def by_class(self) -> tuple[float | None, ...]:
        if not self._known or not self.matrix.any():
            return ()
        right, either = both_and_either(self.matrix)
        return tuple(float(own / all_ * 100) if all_ else None for own, all_ in zip(right, either, strict=True))

    def by_image(self) -> NDArray[np.float64]:
        right, either = both_and_either(self.matrix)
        seen = either > 0
        if not self._known or not seen.any():
            return np.empty(0)
        own = np.stack(self._by_picture).astype(np.float64)[:, :, seen]
        # What a class's IoU changes by with a picture's pixels, to the first order.
        moved = (own[:, 0] - right[seen] / either[seen] * own[:, 1]) / either[seen]
        by_picture: NDArray[np.float64] = moved.mean(axis=1) * 100
        return by_picture


def both_and_either(matrix: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of a confusion matrix, by class: the pixels in both mask and answer, and those in either."""
    right = np.diag(matrix)
    return right, matrix.sum(axis=0) + matrix.sum(axis=1) - right
