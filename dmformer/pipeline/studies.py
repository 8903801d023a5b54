"""What INT8 work asks before an export: ranges as a file to review, and what each layer group costs and saves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dmformer.calibration.ranges import Ranges, save_ranges
from dmformer.calibration.sensitivity import Sensitivity
from dmformer.files import check_output
from dmformer.pipeline.export import check_options, prepare
from dmformer.pipeline.int8_export import search_images, workshop_for
from dmformer.pipeline.making import Prepared
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.sources import open_sources
from dmformer.progress import Progress
from dmformer.scratch import scratch_directory

if TYPE_CHECKING:
    from dmformer.model.checkpoint import Checkpoint

T = TypeVar("T")


def write_ranges(
    weights: Checkpoint | Path | str | None, options: ExportOptions, output: Path, progress: Progress
) -> Ranges:
    """Calibrates weights and writes the ranges as a file that ``export --ranges`` takes.

    Raises:
        OutputError: The file exists and ``force`` is off, or cannot be written.
        DmformerError: See `dmformer.errors`.
    """
    inputs = [weights, options.data, options.int8.calibration]
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

    Measured in what `dmformer.pipeline.trial.run_by` says, which need not be that target's own runtime.

    Args:
        weights: See `dmformer.pipeline.export.export_bundles`.
        options: Its first target and its INT8 options count.
        granularity: ``stage`` (one kind of layer in one stage) or ``block`` (every group alone).
        progress: Watches.

    Returns:
        Most noise per saved millisecond first.
    """

    def study(prepared: Prepared) -> list[Sensitivity]:
        workshop = workshop_for(options.targets[0], prepared, options)
        return workshop.sensitivities(search_images(prepared), granularity, progress)

    return _with_prepared(weights, options, progress, study)


def _with_prepared(
    weights: Checkpoint | Path | str | None, options: ExportOptions, progress: Progress, use: Callable[[Prepared], T]
) -> T:
    chosen = replace(options, precision="int8")
    check_options(chosen)
    sources = open_sources(weights, chosen.size, chosen.data, chosen.max_images)
    for note in sources.notes:
        progress.say(note)
    with scratch_directory() as scratch:
        return use(prepare(sources, chosen, scratch, progress))
