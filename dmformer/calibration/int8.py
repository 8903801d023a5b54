"""The whole way from a canonical graph and its ranges to a quantized graph for one target."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dmformer.calibration.bias_correction import Emit, correct_biases
from dmformer.calibration.factors import gelus_with_factors, rescaled, spans_without
from dmformer.calibration.observe import Batches
from dmformer.calibration.ranges import Ranges
from dmformer.graph.qdq.emitters import emitter_for, finished
from dmformer.graph.qdq.graph import Graph
from dmformer.graph.qdq.sites import group_of, site_values
from dmformer.progress import Progress
from dmformer.targets import get_target

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Quantizer:
    """Makes quantized graphs of one model for one target.

    Attributes:
        model: The canonical float32 graph.
        ranges: Its ranges.
        target: Its name.
        isa: The CPU's instruction set (`dmformer.graph.qdq.scheme.CPU_ISAS`).
    """

    model: onnx.ModelProto
    ranges: Ranges
    target: str
    isa: str

    def balanced(self, int8_groups: Collection[str]) -> onnx.ModelProto:
        """The equalized float32 graph as it suits these integer groups."""
        return rescaled(self.model, self.ranges.channel_scales(), self._gelus(int8_groups), self._both_sides)

    def _gelus(self, int8_groups: Collection[str]) -> list[str]:
        """The GELUs with factors: where a GELU has integers of its own, they are a table, which knows no channels."""
        if not get_target(self.target).gelu_factors:
            return []
        known = gelus_with_factors(self.model, self.ranges.scales, self._both_sides)
        return [name for name in known if not self._both_sides or group_of(name) not in int8_groups]

    @property
    def _both_sides(self) -> bool:
        return get_target(self.target).gelu_factors == "around"

    def emit(self, balanced: onnx.ModelProto, int8_groups: Collection[str]) -> Emit:
        """The emitter for these integer groups, for the graph that `balanced` gave or a segment of it."""
        write, gelus = emitter_for(self.target, self.isa), self._gelus(int8_groups)
        spans = spans_without(self.model, self.ranges.spans(), gelus if self._both_sides else ())
        # In a segment a value that was made before is an input, which is a site of its own name.
        values = site_values(Graph(balanced))
        spans |= {value: spans[site] for site, value in values.items() if site in spans}
        return lambda model: write(model, spans, int8_groups)

    def build(self, int8_groups: Collection[str]) -> onnx.ModelProto:
        """The quantized graph without bias correction: what searches look at."""
        balanced = self.balanced(int8_groups)
        return finished(self.emit(balanced, int8_groups)(balanced), self.target)

    def corrected(
        self, int8_groups: Collection[str], batches: Batches, progress: Progress | None = None
    ) -> onnx.ModelProto:
        """The quantized graph with corrected biases.

        Args:
            int8_groups: Groups computed in integers.
            batches: Calibration images.
            progress: Watches.
        """
        balanced = self.balanced(int8_groups)
        emit = self.emit(balanced, int8_groups)
        corrected = correct_biases(balanced, emit, int8_groups, batches, progress)
        return finished(emit(corrected), self.target)


def quantizer(model: onnx.ModelProto, ranges: Ranges, target: str, isa: str) -> Quantizer:
    """Prepares the quantization of a canonical graph.

    Raises:
        DataError: The ranges belong to another model.
        UsageError: An unknown target or instruction set.
    """
    ranges.check_model(model)
    emitter_for(target, isa)
    return Quantizer(model, ranges, target, isa)
