"""INT8 as a step of the road: one set of ranges, a plan for each target, and the search when the floor breaks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmformer import host
from dmformer.calibration.int8 import Quantizer, quantizer
from dmformer.calibration.plan import PrecisionPlan, default_plan, load_plan
from dmformer.calibration.sensitivity import Sensitivity, Verdict, measure_sensitivity, search_plan, units_of
from dmformer.evaluation.metrics import Measured
from dmformer.evaluation.tolerances import accuracy_words, failures
from dmformer.graph.qdq.sites import groups_of
from dmformer.manifest import Tolerance
from dmformer.pipeline.calibrating import Calibration
from dmformer.pipeline.options import Int8Options
from dmformer.pipeline.trial import milliseconds, opened, outputs_of
from dmformer.preprocessing import Preprocessing
from dmformer.progress import Progress
from dmformer.tasks.base import Outputs, Result, Task

if TYPE_CHECKING:
    import onnx

SEARCH_IMAGES, SEARCH_BYTES = 512, 512 << 20
"""That a search looks at, and the memory that their tensors may take."""


@dataclass(frozen=True)
class SearchImages:
    """Images with the reference's outputs, for sensitivities and searches.

    Attributes:
        tensors: Preprocessed images, float32 ``[N, C, H, W]``.
        outputs: The FP32 PyTorch outputs ``[n, ...]`` of some of them, by their numbers.
        targets: What is right for each; None where that is not known.
    """

    tensors: NDArray[np.float32]
    outputs: Callable[[Sequence[int]], Outputs]
    targets: Sequence[Any]


@dataclass(frozen=True)
class Quantized:
    """An INT8 graph for one target.

    Attributes:
        graph: With Q/DQ and corrected biases.
        groups: Precision by layer group.
    """

    graph: onnx.ModelProto
    groups: dict[str, str]


@dataclass(frozen=True)
class Int8Graphs:
    """Makes INT8 graphs of one model for one target.

    Attributes:
        target: Name of the target.
        model: The canonical float32 graph.
        calibration: Its ranges and images.
        options: Plan and instruction set.
        batch: The graph's batch size, None where it is open.
        task: What the model is for.
        spec: How images become its input.
    """

    target: str
    model: onnx.ModelProto
    calibration: Calibration
    options: Int8Options
    batch: int | None
    task: Task
    spec: Preprocessing

    @cached_property
    def quantizer(self) -> Quantizer:
        isa = self.options.cpu_isa or host.int8_isa()
        return quantizer(self.model, self.calibration.ranges, self.target, isa)

    @cached_property
    def planned(self) -> frozenset[str]:
        """The integer groups of the plan that was given, or of the target's default."""
        return self.plan().int8_groups(self.model)

    def plan(self) -> PrecisionPlan:
        """The plan that was given, or the target's default.

        Raises:
            DataError: The file is no plan.
            UsageError: It names layers that the model does not have.
        """
        if self.options.plan is not None:
            return load_plan(self.options.plan)
        return default_plan(self.model, self.target)

    def make(self, int8_groups: Collection[str], progress: Progress) -> Quantized:
        """The finished graph for a set of integer groups."""
        graph = self.quantizer.corrected(int8_groups, self.calibration.images.batches, progress=progress)
        integer = set(int8_groups)
        return Quantized(graph, {g: "int8" if g in integer else "float" for g in groups_of(self.model)})

    def sensitivities(self, images: SearchImages, granularity: str, progress: Progress) -> list[Sensitivity]:
        """Error added and time saved by every unit, measured in what the row of the target says."""
        units = units_of(self.model, self.planned, "block" if granularity == "block" else "stage")
        return measure_sensitivity(
            units, self.quantizer.build, partial(self._noise, images), self._stopwatch(images), progress
        )

    def _measure(self, images: SearchImages, graph: onnx.ModelProto) -> Measured:
        """A graph beside the reference, batch by batch."""
        measured = Measured(self.task, self.spec.resize)
        for rows, outputs in outputs_of(opened(self.target, graph), images.tensors, self.batch):
            measured.add(images.outputs(rows), Result(outputs), [images.targets[row] for row in rows])
        return measured

    def _noise(self, images: SearchImages, graph: onnx.ModelProto) -> float:
        """Share of the energy of the reference's outputs that is noise in a graph's."""
        return self._measure(images, graph).relative_noise

    def _stopwatch(self, images: SearchImages) -> Callable[[onnx.ModelProto], float]:
        """Milliseconds of a graph beyond those of the whole plan, timed in turn with it: drift cancels."""
        batch = np.resize(images.tensors, (self.batch or 1, *images.tensors.shape[1:]))
        whole = opened(self.target, self.quantizer.build(self.planned))

        def more(graph: onnx.ModelProto) -> float:
            times = milliseconds({"whole": whole, "graph": opened(self.target, graph)}, batch)
            return times["graph"] - times["whole"]

        return more

    def search(self, images: SearchImages, tolerance: Tolerance, progress: Progress) -> frozenset[str]:
        """Integer groups for which the floor holds on ``images``.

        Raises:
            UsageError: It does not hold with every layer in float either.
        """
        result = search_plan(
            self.planned,
            lambda: self.sensitivities(images, "stage", progress),
            self.quantizer.build,
            partial(self._judge, images, tolerance),
            progress,
        )
        returned = ", ".join(one.unit for one in result.returned)
        progress.say(
            f"{self.target}: back to float to hold the floor: {returned or 'nothing'} ({result.verdict.summary})"
        )
        return result.int8_groups

    def _judge(self, images: SearchImages, tolerance: Tolerance, graph: onnx.ModelProto) -> Verdict:
        """Whether a graph holds the floor."""
        comparison = self._measure(images, graph).comparison("search images", "0" * 64)
        problems = failures(comparison, tolerance, self.task.headline)
        return Verdict(not problems, "; ".join(problems) or accuracy_words(comparison, None))
