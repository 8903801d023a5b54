"""INT8 as a step of the road: one set of ranges, a plan for each target, and the search when the floor breaks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dmformer import host
from dmformer.calibration.int8 import Quantizer, quantizer
from dmformer.calibration.plan import PrecisionPlan, default_plan, load_plan
from dmformer.calibration.sensitivity import Sensitivity, Verdict, measure_sensitivity, search_plan, units_of
from dmformer.evaluation.metrics import compare
from dmformer.evaluation.tolerances import failures
from dmformer.graph.qdq.sites import groups_of
from dmformer.manifest import Tolerance
from dmformer.pipeline.calibrating import Calibration
from dmformer.pipeline.options import Int8Options
from dmformer.pipeline.trial import answers, milliseconds, opened
from dmformer.progress import Progress

if TYPE_CHECKING:
    import onnx

SEARCH_IMAGES = 512


@dataclass(frozen=True)
class Questions:
    """Images with the reference's answers, for sensitivities and searches.

    Attributes:
        tensors: Preprocessed images, float32 ``[N, C, H, W]``.
        logits: The FP32 PyTorch logits, float32 ``[N, classes]``.
        labels: int64 ``[N]``, or None.
    """

    tensors: NDArray[np.float32]
    logits: NDArray[np.float32]
    labels: NDArray[np.int64] | None


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
class Workshop:
    """Makes INT8 graphs of one model for one target.

    Attributes:
        target: Name of the target.
        model: The canonical float32 graph.
        calibration: Its ranges and images.
        options: Plan and instruction set.
        batch: The graph's batch size, None where it is open.
    """

    target: str
    model: onnx.ModelProto
    calibration: Calibration
    options: Int8Options
    batch: int | None

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
        chosen = set(int8_groups)
        return Quantized(graph, {g: "int8" if g in chosen else "float" for g in groups_of(self.model)})

    def sensitivities(self, questions: Questions, granularity: str, progress: Progress) -> list[Sensitivity]:
        """Error added and time saved by every unit, measured in what the row of the target says."""
        units = units_of(self.model, self.planned, "block" if granularity == "block" else "stage")
        size = self.batch
        reference = questions.logits[: len(questions.tensors) // (size or 1) * (size or 1)]
        return measure_sensitivity(
            units,
            self.quantizer.build,
            lambda graph: answers(opened(self.target, graph), questions.tensors, size),
            self._stopwatch(questions),
            reference,
            progress,
        )

    def _stopwatch(self, questions: Questions) -> Callable[[onnx.ModelProto], float]:
        """Milliseconds of a graph beyond those of the whole plan, timed in turn with it: drift cancels."""
        batch = np.resize(questions.tensors, (self.batch or 1, *questions.tensors.shape[1:]))
        whole = opened(self.target, self.quantizer.build(self.planned))

        def more(graph: onnx.ModelProto) -> float:
            times = milliseconds({"whole": whole, "graph": opened(self.target, graph)}, batch)
            return times["graph"] - times["whole"]

        return more

    def search(self, questions: Questions, tolerance: Tolerance, progress: Progress) -> frozenset[str]:
        """Integer groups for which the floor holds on ``questions``.

        Raises:
            UsageError: It does not hold with every layer in float either.
        """
        found = search_plan(
            self.planned,
            lambda: self.sensitivities(questions, "stage", progress),
            self.quantizer.build,
            self._judge(questions, tolerance),
            progress,
        )
        returned = ", ".join(one.unit for one in found.returned)
        progress.say(
            f"{self.target}: back to float to hold the floor: {returned or 'nothing'} ({found.verdict.summary})"
        )
        return found.int8_groups

    def _judge(self, questions: Questions, tolerance: Tolerance) -> Callable[[onnx.ModelProto], Verdict]:
        def judge(graph: onnx.ModelProto) -> Verdict:
            found = answers(opened(self.target, graph), questions.tensors, self.batch)
            labels = questions.labels[: len(found)] if questions.labels is not None else None
            compared = compare(questions.logits[: len(found)], found, labels, "search images", "0" * 64)
            problems = failures(compared, tolerance)
            return Verdict(not problems, "; ".join(problems) or f"agreement {compared.agreement:.2%}")

        return judge
