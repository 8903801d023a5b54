"""What ``dmformer inspect`` does: what weights, an ONNX file or a bundle are made of, and what INT8 costs and saves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dmformer.bundle import Bundle
from dmformer.errors import UsageError
from dmformer.evaluation.layers.engine import parts_of_engine
from dmformer.pipeline.inspected import (
    BundleDocument,
    NamesDocument,
    OnnxDocument,
    Part,
    SensitivityDocument,
    Unit,
    WeightsDocument,
)
from dmformer.pipeline.option_groups import Size
from dmformer.pipeline.requests import InspectOptions
from dmformer.pipeline.weights_options import WeightsOptions
from dmformer.progress import Progress, Silent
from dmformer.staging import MANIFEST_FILE
from dmformer.summary import summarize
from dmformer.targets import get_target, load

if TYPE_CHECKING:
    from dmformer.model.checkpoint import Checkpoint


def inspect(
    options: InspectOptions, progress: Progress | None = None
) -> WeightsDocument | NamesDocument | OnnxDocument | BundleDocument | SensitivityDocument:
    """Looks into weights, an ONNX file or a bundle.

    Raises:
        UsageError: Options that exclude each other.
        DmformerError: What is there cannot be read; see `dmformer.errors`.
    """
    if options.preset is not None and options.path is not None:
        raise UsageError("--preset and a file exclude each other", "leave one of them out")
    if options.sensitivity:
        return measure_sensitivity(options, progress or Silent())
    if options.names:
        from dmformer.pipeline.naming import describe_names

        return describe_names(options)
    if options.path is not None and (options.path / MANIFEST_FILE).exists():
        return describe_bundle(options.path)
    if options.path is not None and options.path.suffix == ".onnx":
        from dmformer.graph.summary import describe_onnx

        return OnnxDocument(**describe_onnx(options.path))
    from dmformer.pipeline.sources import resolve_checkpoint
    from dmformer.pipeline.weights import choose_weights, for_task

    checkpoint = choose_weights(weights_of(options)) or resolve_checkpoint(None, options.task)
    return describe_checkpoint(for_task(checkpoint, options.task), options.size)


def weights_of(options: InspectOptions) -> WeightsOptions:
    """Which weights are looked into."""
    return WeightsOptions(
        path=options.path,
        preset=options.preset,
        random_weights=options.preset is not None,
        task=options.task,
        head=options.head,
        key=options.key,
    )


def describe_bundle(path: Path) -> BundleDocument:
    """A checked bundle's manifest."""
    bundle = Bundle.load(path)
    manifest = bundle.manifest
    describe = get_target(manifest.target).describe if manifest.target else None
    return BundleDocument(
        path=str(path),
        manifest=manifest.model_dump(mode="json", by_alias=True),
        summary=summarize(bundle, manifest.proof) if manifest.proof else None,
        engine_precision=tuple(vars(part) for part in parts_of_engine(bundle) or ()) or None,
        **(load(describe)(bundle) if describe else {}),
    )


def describe_checkpoint(checkpoint: Checkpoint, size: Size | None) -> WeightsDocument:
    """Configuration and counts of weights."""
    from dmformer.model.counting import count

    size = size or checkpoint.preprocessing.size
    counted = count(checkpoint.config, size)
    return WeightsDocument(
        name=checkpoint.name,
        sha256=checkpoint.digest,
        size=size,
        parameters=counted.parameters,
        macs=counted.macs,
        parts=tuple(Part(**vars(part)) for part in counted.per_part),
        config=checkpoint.config.model_dump(mode="json"),
        preprocessing=checkpoint.preprocessing.model_dump(mode="json"),
        labels=checkpoint.labels,
        notes=checkpoint.notes,
    )


def measure_sensitivity(options: InspectOptions, progress: Progress) -> SensitivityDocument:
    """Measures what each layer group's integers cost and save, and draws the picture if one is wanted."""
    from dmformer.pipeline.options import ExportOptions
    from dmformer.pipeline.studies import study_sensitivity

    target, picture = get_target(options.target), options.picture
    if picture is not None:
        from dmformer.evaluation.report.sensitivity_picture import check_picture, draw_sensitivity

        check_picture(picture)
    study = ExportOptions(
        targets=(options.target,),
        size=options.size,
        weights=weights_of(options),
        data=options.data,
        max_images=options.max_images,
        masks=options.masks,
        int8=options.int8,
    )
    sensitivities = study_sensitivity(None, study, options.granularity, progress)
    if picture is not None:
        title = f"INT8 sensitivity by layer group, {target.name}, measured in {target.tried_in}"
        draw_sensitivity(sensitivities, title, picture)
    return SensitivityDocument(
        target=target.name,
        measured_in=target.tried_in,
        units=tuple(Unit(**vars(one)) for one in sensitivities),
        picture=str(picture) if picture else None,
    )
