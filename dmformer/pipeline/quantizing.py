"""INT8 as a step of the road: one set of ranges, a plan for each target, and what its integers cost and save."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmformer import host
from dmformer.calibration.factors import gelus_with_factors
from dmformer.calibration.int8 import Quantizer, quantizer
from dmformer.calibration.observe import rebatched
from dmformer.calibration.plan import PrecisionPlan, default_plan, load_plan
from dmformer.calibration.sensitivity import Granularity, Sensitivity, measure_sensitivity, units_of
from dmformer.data.dataset import evenly
from dmformer.errors import UsageError
from dmformer.evaluation.metrics import Measured
from dmformer.evaluation.tolerances import failures
from dmformer.graph.qdq.sites import COMPUTE, group_of, groups_of
from dmformer.manifest import Tolerance
from dmformer.pipeline.calibrating import Calibration
from dmformer.pipeline.options import Int8Options
from dmformer.pipeline.trial import milliseconds, opened, outputs_of
from dmformer.preprocessing import Preprocessing
from dmformer.progress import Progress
from dmformer.runtimes.base import Call
from dmformer.tasks.base import Outputs, Result, Task

if TYPE_CHECKING:
    import onnx

SEARCH_IMAGES, SEARCH_BYTES = 512, 512 << 20
"""That a search looks at beside whole proofs, and the memory that their tensors may take."""
NOISE_IMAGES, BIAS_IMAGES = 64, 32
"""That the noise of a unit is measured on, and its biases are corrected with: it only decides an order."""
SPREAD_DB = 1.0
"""How far the SQNR of some images may be from that of all of them. This project's choice."""


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

    def fewer(self, count: int) -> SearchImages:
        """No more than so many of them, evenly spread."""
        rows = evenly(len(self.tensors), min(count, len(self.tensors)))
        targets = [self.targets[row] for row in rows]
        return SearchImages(self.tensors[rows], lambda few: self.outputs([rows[row] for row in few]), targets)


def holds_integers(model: onnx.ModelProto, int8_groups: Collection[str]) -> bool:
    """Whether a layer with weights is in one of the groups."""
    return any(node.op_type in COMPUTE and group_of(node.name) in int8_groups for node in model.graph.node)


def check_integers(model: onnx.ModelProto, int8_groups: Collection[str]) -> None:
    """Raises `UsageError` for groups that leave no layer in integers: that is no INT8 engine."""
    if not holds_integers(model, int8_groups):
        raise UsageError(
            "the plan leaves no layer in integers: that is the float engine of --fp32",
            "export with --fp32 or --half, or leave a layer in int8",
        )


@dataclass(frozen=True)
class Quantized:
    """An INT8 graph for one target.

    Attributes:
        graph: With Q/DQ and corrected biases.
        groups: Precision by layer group.
        full_precision: Whether its engine computes in float32 what is not in integers, though half is to be had.
    """

    graph: onnx.ModelProto
    groups: dict[str, str]
    full_precision: bool = False


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
        gelus = gelus_with_factors(self.model, self.calibration.ranges.scales, before=True)
        return default_plan(self.model, self.target, gelus)

    def make(self, int8_groups: Collection[str], progress: Progress) -> Quantized:
        """The finished graph for a set of integer groups.

        Raises:
            UsageError: No layer is among them.
        """
        check_integers(self.model, int8_groups)
        graph = self.quantizer.corrected(int8_groups, self.calibration.images.batches, progress=progress)
        integer = set(int8_groups)
        return Quantized(graph, {g: "int8" if g in integer else "float" for g in groups_of(self.model)})

    def sensitivities(
        self, images: SearchImages, granularity: str, groups: Collection[str], progress: Progress
    ) -> list[Sensitivity]:
        """Error and time of the integers of every unit of ``groups``, measured in what the row of the target says."""
        kind: Granularity = "block" if granularity == "block" else "stage"
        parts = (self.planned.intersection(groups), set(groups) - self.planned)
        units = [unit for part in parts for unit in units_of(self.model, part, kind).items()]
        few, stopwatch = images.fewer(NOISE_IMAGES), self._stopwatch(images)
        noise = partial(self._noise, few)
        return measure_sensitivity(self.planned, units, self.quantizer.build, noise, stopwatch, progress)

    def measure(self, images: SearchImages, call: Call) -> Measured:
        """A graph that was opened, beside the reference, batch by batch."""
        measured = Measured(self.task, self.spec.resize)
        for rows, outputs in outputs_of(call, images.tensors, self.batch):
            measured.add(images.outputs(rows), Result(outputs), [images.targets[row] for row in rows])
        return measured

    def _noise(self, images: SearchImages, int8_groups: frozenset[str]) -> float:
        """Share of the energy of the reference's outputs that is noise with some groups in integers."""
        batches = self.calibration.images.batches
        graph = self.quantizer.corrected(int8_groups, lambda: islice(rebatched(batches(), BIAS_IMAGES), 1))
        return self.measure(images, opened(self.target, graph)).relative_noise

    def _stopwatch(self, images: SearchImages) -> Callable[[onnx.ModelProto], float]:
        """Milliseconds of a graph beyond those of the whole plan, timed in turn with it: drift cancels."""
        batch = self.batch_of(images)
        whole = opened(self.target, self.quantizer.build(self.planned))

        def more(graph: onnx.ModelProto) -> float:
            times = milliseconds({"whole": whole, "graph": opened(self.target, graph)}, batch)
            return times["graph"] - times["whole"]

        return more

    def batch_of(self, images: SearchImages) -> NDArray[np.float32]:
        """A batch to take the time of a graph with."""
        return np.resize(images.tensors, (self.batch or 1, *images.tensors.shape[1:]))

    def clearly_below(self, images: SearchImages, tolerance: Tolerance, graph: onnx.ModelProto) -> list[str]:
        """In words, what a graph falls short of on some images by more than their choice explains."""
        floor = tolerance.min_sqnr_db
        update = {"on_few_images": False, "min_sqnr_db": None if floor is None else floor - SPREAD_DB}
        measured = self.measure(images, opened(self.target, graph))
        comparison = measured.comparison(f"{len(images.tensors)} images", "0" * 64)
        return failures(comparison, tolerance.model_copy(update=update), self.task.headline)
