"""What INT8 work asks before an export: ranges as a file to review, and what each layer group costs and saves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from dmformer.calibration.ranges import Ranges, save_ranges
from dmformer.calibration.sensitivity import Sensitivity
from dmformer.documents import Document, schema
from dmformer.files import check_output
from dmformer.graph.qdq.sites import groups_of
from dmformer.pipeline.export import check_options, prepare
from dmformer.pipeline.int8_export import int8_graphs, search_images
from dmformer.pipeline.making import Prepared
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.requests import CalibrateOptions
from dmformer.pipeline.sources import open_sources
from dmformer.pipeline.weights import weights_for
from dmformer.progress import Progress, Silent
from dmformer.scratch import scratch_directory

if TYPE_CHECKING:
    from dmformer.model.checkpoint import Checkpoint

T = TypeVar("T")


class CalibrateDocument(Document):
    """A file of ranges: how many, from how many images, and by which method."""

    schema_: Literal["dmformer.calibrate/1"] = schema("dmformer.calibrate/1")
    path: str
    images: int
    method: str
    ranges: int
    channel_scales: int


def calibrate(options: CalibrateOptions, progress: Progress | None = None) -> CalibrateDocument:
    """Measures the activation ranges of weights on images, and writes them.

    Raises:
        DmformerError: See `write_ranges`.
    """
    export = ExportOptions(
        weights=options.weights,
        size=options.size,
        dynamic_size=options.dynamic_size,
        force=options.force,
        int8=options.int8,
    )
    ranges = write_ranges(None, export, options.output, progress or Silent())
    return CalibrateDocument(
        path=str(options.output),
        images=ranges.count,
        method=ranges.method,
        ranges=len(ranges.sites),
        channel_scales=len(ranges.scales),
    )


def write_ranges(
    weights: Checkpoint | Path | str | None, options: ExportOptions, output: Path, progress: Progress
) -> Ranges:
    """Calibrates weights and writes the ranges as a file that ``export --ranges`` takes.

    Raises:
        OutputError: The file exists and ``force`` is off, or cannot be written.
        DmformerError: See `dmformer.errors`.
    """
    inputs = [weights, options.weights.path, options.weights.labels, options.data, options.int8.calibration]
    check_output(output, force=options.force, inputs=[Path(one) for one in inputs if isinstance(one, str | Path)])
    ranges = _with_prepared(weights, options, progress, _ranges_of)
    save_ranges(ranges, output)
    return ranges


def _ranges_of(prepared: Prepared) -> Ranges:
    assert prepared.calibration is not None  # noqa: S101 - `prepare` calibrates for INT8
    return prepared.calibration.ranges


def study_sensitivity(
    weights: Checkpoint | Path | str | None, options: ExportOptions, granularity: str, progress: Progress
) -> list[Sensitivity]:
    """What the integers of each unit cost and save, by the rules of the first target.

    Measured in what the target's row says, which need not be its own runtime: see `dmformer.targets.Target.tried_in`.

    Args:
        weights: See `dmformer.pipeline.export.export_bundles`.
        options: Its first target and its INT8 options count.
        granularity: ``stage`` (one kind of layer in one stage) or ``block`` (every group alone).
        progress: Watches.

    Returns:
        Most noise per saved millisecond first.
    """

    def study(prepared: Prepared) -> list[Sensitivity]:
        int8 = int8_graphs(options.targets[0], prepared, options)
        return int8.sensitivities(search_images(prepared), granularity, groups_of(int8.model), progress)

    return _with_prepared(weights, options, progress, study)


def _with_prepared(
    weights: Checkpoint | Path | str | None, options: ExportOptions, progress: Progress, use: Callable[[Prepared], T]
) -> T:
    settled = replace(options, precision="int8")
    check_options(settled)
    checkpoint, settled = weights_for(weights, settled, progress)
    sources = open_sources(
        checkpoint, settled.size, settled.data, settled.max_images, settled.masks, settled.weights.task
    )
    for note in sources.notes:
        progress.say(note)
    with scratch_directory() as scratch:
        return use(prepare(sources, settled, scratch, progress))
