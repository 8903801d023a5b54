"""What a task is to the rest of dmformer: everything that would differ for another one is asked here.

A task is one file in this room and one row of `dmformer.tasks.registry`; `docs/new-task.md` shows a whole one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmformer.data.dataset import Dataset, Sample
from dmformer.errors import UsageError
from dmformer.fields import Palette, TensorSpec
from dmformer.preprocessing import Preprocessing
from dmformer.tasks.head import Head

Outputs = NDArray[np.float32]
"""What an engine gives for N images: float32 ``[N, ...]``; of several outputs see `joined`."""
Decisions = NDArray[np.int64]
"""What is decided from outputs: class indices ``[N]``, or ``[N, h, w]`` where every place has one."""
Answer = Any
"""What an application gets for one image; of a type of the task's own."""


@dataclass(frozen=True)
class Result:
    """What an engine, or PyTorch, gives for N images.

    Attributes:
        outputs: float32 ``[N, ...]``.
        decisions: What the graph itself decided from them; None where it leaves that to whoever runs it.
        several: Of an engine with several outputs each one ``[N, ...]``, which `outputs` joins.
    """

    outputs: Outputs
    decisions: Decisions | None = None
    several: tuple[Outputs, ...] = ()


def joined(outputs: Sequence[NDArray[Any]]) -> Outputs:
    """One output as it is; of several ``[N, ...]`` the values of each image in a row, ``[N, values]``."""
    arrays = [np.asarray(output, np.float32) for output in outputs]
    return arrays[0] if len(arrays) == 1 else np.concatenate([array.reshape(len(array), -1) for array in arrays], 1)


def joined_shape(specs: Sequence[TensorSpec]) -> tuple[int | None, ...]:
    """The shape of what `joined` makes of outputs; of several their sides are known."""
    batch, *sides = specs[0].shape
    values = sum(prod(side or 0 for side in spec.shape[1:]) for spec in specs)
    return (batch, *sides) if len(specs) == 1 else (batch, values)


@dataclass(frozen=True)
class Legend:
    """How classes are called and drawn.

    Attributes:
        names: One for each class.
        palette: A colour for each class, where somebody chose them.
    """

    names: tuple[str, ...]
    palette: Palette | None = None


@dataclass(frozen=True)
class View:
    """A picture of an answer, uint8 RGB ``[H, W, 3]``, and whose it is."""

    title: str
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class ClassMap:
    """How a graph itself decides at every pixel of its input; see `dmformer.graph.class_map`.

    Attributes:
        spec: What it gives, ``[N, H, W]``.
        planes: Of scores.
        stride: Pixels of the input for a score.
        logit: What the only plane must exceed; of several the largest counts.
    """

    spec: TensorSpec
    planes: int
    stride: int
    logit: float


@dataclass(frozen=True)
class Figure:
    """A number that a task is judged by; larger is better.

    Attributes:
        key: Its name in documents, as ``top1``.
        title: Its name for people, as ``top-1``.
        unit: ``%``, or what its numbers count.
    """

    key: str
    title: str
    unit: str = "%"

    @property
    def label(self) -> str:
        """Title and unit, as a column's head: ``top-1 %``."""
        return f"{self.title} {self.unit}".rstrip()


class Tally(ABC):
    """Counts what the figures of a task follow from; holds no outputs."""

    @abstractmethod
    def add(self, result: Result, targets: Sequence[Any]) -> None:
        """Counts some images.

        Args:
            result: What was given for n images.
            targets: What `Task.target` gave for each of the n images; None where nothing is known.
        """

    @abstractmethod
    def figures(self) -> dict[str, float]:
        """The figures that could be counted, by their keys; empty where a target was not known."""

    def by_image(self) -> NDArray[np.float64]:
        """How far each image moves the headline, in its unit, up to a constant; empty where a target was not known.

        The squares of what two tallies of the same images differ by add up to the variance of how far their headlines
        differ (the infinitesimal jackknife, Efron, "Nonparametric estimates of standard error", Biometrika 1981).
        """
        return np.empty(0)

    def by_class(self) -> tuple[float | None, ...]:
        """The headline of each class, in its unit; empty where the task has none of classes."""
        return ()

    def remark(self, dataset: Dataset, indices: Sequence[int], who: str) -> str | None:
        """What the answers tell about the set, or about what is made of its images, in a line for the user.

        Args:
            dataset: The images that were counted.
            indices: Which of them, in the order in which they were added.
            who: Gave the answers.
        """
        return None


class Task(ABC):
    """One task, as a head answers it. Needs NumPy and Pillow only.

    Args:
        head: What stands on the backbone; one of `heads`.

    Attributes:
        name: As manifests spell it.
        figures: The first is the headline, whose loss ``--max-drop`` bounds; none where nothing is right or wrong.
        has_places: Whether decisions have places, so that a picture may be answered in parts and at its own size.
        heads: The heads that answer it; the first is usual.
        demonstration: What `dmformer.assets` shows it with, by its name there; empty where nothing does.
    """

    name: ClassVar[str]
    figures: ClassVar[tuple[Figure, ...]]
    heads: ClassVar[tuple[type[Head], ...]]
    has_places: ClassVar[bool] = False
    demonstration: ClassVar[str] = ""

    def __init__(self, head: Head) -> None:
        self.head = head

    @property
    def headline(self) -> Figure | None:
        """The figure that counts most."""
        return next(iter(self.figures), None)

    @abstractmethod
    def output(self, size: tuple[int, int], batch: int | None) -> TensorSpec:
        """What an engine gives, of several outputs the first.

        Args:
            size: Height and width of the input.
            batch: Images in a batch; None where it is open.
        """

    def outputs(self, size: tuple[int, int], batch: int | None) -> tuple[TensorSpec, ...]:
        """All that an engine gives; see `output`."""
        return (self.output(size, batch),)

    def parts(self, outputs: Outputs) -> tuple[Outputs, ...]:
        """Outputs, as `joined` has them, in the parts that are each compared with PyTorch's by themselves."""
        return (outputs,)

    @abstractmethod
    def target(self, sample: Sample, spec: Preprocessing) -> Any:
        """What is right for a sample, where that is known, else None.

        Args:
            sample: The image as the data set has it.
            spec: How it becomes the engine's input: what lies in the picture goes the same way.
        """

    def check_input(self, spec: Preprocessing) -> None:
        """Raises `UsageError` where images that become inputs so cannot be answered."""
        return

    @abstractmethod
    def check(self, dataset: Dataset) -> None:
        """Raises `DataError` where the targets of a set are not the model's classes."""

    @abstractmethod
    def tally(self, resize: str) -> Tally:
        """An empty tally of images that lie in the inputs so; see `dmformer.geometry.placement`."""

    @abstractmethod
    def answers(
        self, result: Result, resize: str, legend: Legend, sizes: Sequence[tuple[int, int]], most: int
    ) -> list[Answer]:
        """What applications get.

        Args:
            result: What the engine gave for n images; of one that decides itself only the decisions need be there.
            resize: How the images lie in the inputs, as `dmformer.geometry.placement` takes it.
            legend: How the classes are called.
            sizes: Height and width of each of the n images before preprocessing.
            most: How many alternatives to give at most, where there are several.
        """

    @abstractmethod
    def document(self, answer: Answer) -> dict[str, Any]:
        """An answer as JSON."""

    @abstractmethod
    def lines(self, answer: Answer) -> list[str]:
        """An answer in words, a line each."""

    def class_map(self, output: TensorSpec) -> ClassMap | None:
        """How a graph decides itself from what it gives; None where none does."""
        return None

    def drawn(self, legend: Legend) -> Legend:
        """How what is decided is called and drawn, of how the head's classes are."""
        return legend

    def picture(self, answer: Answer, image: NDArray[np.uint8]) -> Image.Image:
        """An answer drawn over its image, uint8 RGB ``[H, W, 3]``; raises `UsageError` where the task draws none."""
        raise UsageError(f"nothing is drawn for {self.name}", "leave out --overlay")

    def views(
        self, image: NDArray[np.uint8], target: Any, before: Decisions, after: Decisions, resize: str, legend: Legend
    ) -> tuple[View, ...]:
        """What is right for an image, PyTorch's decisions and an engine's as pictures; none where they have no places.

        Args:
            image: uint8 ``[H, W, C]``.
            target: What is right, None where nobody knows.
            before: PyTorch's decisions for it.
            after: The engine's.
            resize: How it lies in the input, as `dmformer.geometry.placement` takes it.
            legend: How the classes are drawn.
        """
        del image, target, before, after, resize, legend
        return ()

    def promise(self) -> str:
        """What an application gets for an image, in words."""
        return f"outputs for {self.head.classes} classes"

    def decisions(self, outputs: Outputs) -> Decisions:
        """What is decided from outputs: the largest of axis 1. Of size 0 where nothing is."""
        largest: Decisions = outputs.argmax(axis=1)
        return largest

    def decided(self, result: Result) -> Decisions:
        """What the graph decided, or where it did not, what follows from its outputs."""
        return self.decisions(result.outputs) if result.decisions is None else result.decisions

    def margins(self, outputs: Outputs) -> NDArray[np.float64]:
        """How far each image's two best values along axis 1 are apart, on average: small where nearly undecided."""
        best = np.sort(outputs.astype(np.float64), axis=1)[:, -2:]
        margins: NDArray[np.float64] = (best[:, -1] - best[:, 0]).reshape(len(outputs), -1).mean(axis=1)
        return margins
