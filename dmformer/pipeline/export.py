"""weights -> reference -> canonical model -> ONNX -> engine -> verification -> bundle, for one or several targets."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dmformer.bundle import Bundle
from dmformer.errors import DmformerError, MissingBackendError, UsageError
from dmformer.evaluation.reference import ReferenceOutputs
from dmformer.fields import check_elements
from dmformer.framing import Framing
from dmformer.golden import Golden
from dmformer.host import EXPORT_PACKAGES
from dmformer.pipeline.deciding import class_map_of
from dmformer.pipeline.maker import get_maker
from dmformer.pipeline.making import Outcome, Prepared
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.settling import choose_targets, left_out, recorded
from dmformer.pipeline.sizes import calibration_sizes, other_sizes, tensors_at
from dmformer.pipeline.sources import Sources, open_sources
from dmformer.pipeline.weights import weights_for
from dmformer.progress import Progress, Silent
from dmformer.runtimes.registry import get_runtime
from dmformer.scratch import scratch_directory
from dmformer.staging import check_destination, check_parents

if TYPE_CHECKING:
    import onnx

    from dmformer.calibration.collect import CalibrationSet
    from dmformer.graph.from_torch import GraphOptions
    from dmformer.model.checkpoint import Checkpoint
    from dmformer.model.network import DMFormer
    from dmformer.pipeline.calibrating import Calibration

CANONICAL_ERROR = 1e-4
"""Largest allowed relative difference between the canonical and the reference network in float32."""


def export_bundles(
    weights: Checkpoint | Path | str | None, options: ExportOptions, progress: Progress | None = None
) -> list[Outcome]:
    """Exports, builds and verifies an engine for every target.

    Nothing is written before the whole input has been checked; each bundle appears when it is verified.

    Args:
        weights: A checkpoint, the path of one, or None for what the options name.
        options: What to do.
        progress: Watches the work.

    Raises:
        DmformerError: See `dmformer.errors`.
    """
    watch = progress or Silent()
    for target, reason in left_out(options.targets).items():
        watch.say(f"--target all leaves out {target}: {reason}")
    options = replace(options, targets=choose_targets(options.targets))
    check_options(options)
    check_parents(options.output / "bundle")
    checkpoint, options = weights_for(weights, options, watch)
    sources = open_sources(
        checkpoint, options.size, options.data, options.max_images, options.masks, options.weights.task
    )
    graph_options(sources.checkpoint, options)
    for target in options.targets:
        class_map_of(target, sources.checkpoint, options)
    places = {target: place(sources.checkpoint.name, target, options) for target in options.targets}
    again = [target for target, path in places.items() if is_of_this_run(path, target, sources.checkpoint, options)]
    for target, destination in places.items():
        check_destination(destination, options.force or target in again)
    options = replace(options, force=options.force or bool(again))
    for note in sources.notes:
        watch.say(note)
    with scratch_directory() as scratch:
        prepared = prepare(sources, options, scratch, watch)
        outcomes = [make(target, places[target], prepared, options, watch) for target in options.targets]
        tell_int8(outcomes, prepared, watch)
        return outcomes


def place(name: str, target: str, options: ExportOptions) -> Path:
    """Where a bundle goes."""
    return options.output / f"{name}-{target}-{get_maker(target).label(options)}"


def is_of_this_run(path: Path, target: str, checkpoint: Checkpoint, options: ExportOptions) -> bool:
    """Whether the same weights and options made the bundle there, and can make it again: a command may be repeated."""
    try:
        bundle = Bundle.load(path)
    except DmformerError:
        return False
    can_be_built = get_runtime(target).missing() is None or "engine" not in bundle.roles.values()
    made = bundle.manifest
    return can_be_built and made.options == recorded(options, target) and made.source.sha256 == checkpoint.digest


def check_options(options: ExportOptions) -> None:
    """Raises what can be known to be wrong before anything is read."""
    if not options.targets:
        raise UsageError("no target given", "name at least one --target")
    for package in EXPORT_PACKAGES:
        _require_package(package)
    if options.precision == "int8" and not options.canonical:
        raise UsageError("INT8 is made from the canonical graph", "leave out --plain")
    options.required()
    for target in options.targets:
        get_maker(target).check(options)
    if options.golden_images < 1:
        raise UsageError("a bundle needs at least one golden image", "ask for golden_images=1 or more")


def _require_package(package: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise MissingBackendError(
            f"exporting needs {package}, which is not installed", "pip install 'dmformer[export]'"
        )


def graph_options(checkpoint: Checkpoint, options: ExportOptions) -> GraphOptions:
    """The shape of the graph; raises `UsageError` for one that cannot be."""
    from dmformer.graph.from_torch import GraphOptions

    size = checkpoint.preprocessing.size
    try:
        check_elements((options.batch, *checkpoint.preprocessing.shape))
    except ValueError as error:
        raise UsageError(f"a batch of {options.batch} is {error}", "give a smaller --batch or --imgsz") from error
    return GraphOptions(size, options.batch, options.dynamic, options.opset, options.simplify, options.dynamic_size)


def prepare(sources: Sources, options: ExportOptions, scratch: Path, progress: Progress) -> Prepared:
    """From weights to the ONNX graph, checked at every step against the reference on real images."""
    from dmformer.pipeline.calibrating import check_int8
    from dmformer.pipeline.reference import make_golden, reference_outputs

    checkpoint = sources.checkpoint
    makers = [get_maker(target) for target in options.targets]
    calibrates = any(maker.calibrates(options) for maker in makers)
    if calibrates:
        check_int8(sources.samples if options.data is not None else None, sources.demonstration, options.int8)
    reference = checkpoint.build()
    # Damaged images of a labelled set are named when the reference answers all of it.
    told = Silent() if sources.dataset is not None else progress
    strange = options.data is None and sources.demonstration is None
    golden = make_golden(reference, sources.samples, options.golden_images, checkpoint.preprocessing, told, strange)
    graph = make_graph(checkpoint, reference, golden, options, progress)

    @cache
    def outputs() -> ReferenceOutputs | None:
        framing = Framing(checkpoint.preprocessing, options.dynamic_size and checkpoint.config.task.has_places)
        dataset, file = sources.dataset, scratch / "reference.f32"
        if dataset is None:
            return None
        return reference_outputs(reference, dataset, framing, file, progress)

    calibration = calibrated(graph, sources, golden, options, progress) if calibrates else None
    scanned = calibration.images if calibration else None
    if scanned is None and any(maker.scans(options) for maker in makers):
        scanned = to_scan(sources, options, progress)
    return Prepared(checkpoint, graph, scratch, golden, outputs, calibration, scanned)


def to_scan(sources: Sources, options: ExportOptions, progress: Progress) -> CalibrationSet | None:
    """The images that a graph in half precision is scanned on; None where there are none."""
    from dmformer.pipeline.calibrating import images_to_scan

    samples = sources.samples if options.data is not None else None
    return images_to_scan(sources.checkpoint.preprocessing, samples, sources.demonstration, options.int8, progress)


def calibrated(
    graph: onnx.ModelProto, sources: Sources, golden: Golden, options: ExportOptions, progress: Progress
) -> Calibration:
    """The ranges of the graph; says how far the calibration and the verification set overlap, or are unlike."""
    from dmformer.calibration.likeness import unlike
    from dmformer.pipeline.calibrating import calibration_for, overlap

    samples = sources.samples if options.data is not None else None
    preprocessing = sources.checkpoint.preprocessing
    shown, sizes = sources.demonstration, calibration_sizes(options, preprocessing)
    calibration = calibration_for(graph, preprocessing, samples, shown, options.int8, progress, sizes)
    shared = overlap(calibration.dataset, sources.dataset)
    if shared:
        progress.say(f"{shared} calibration images are verification images too: the accuracy flatters the engine")
    if not calibration.images.random and (beyond := unlike(graph, calibration.ranges, [golden.tensors])):
        progress.say(f"verification images: {beyond}: calibrate with images like those in use")
    return calibration


def make_graph(
    checkpoint: Checkpoint, reference: DMFormer, golden: Golden, options: ExportOptions, progress: Progress
) -> onnx.ModelProto:
    """The float32 graph, checked against the reference."""
    from dmformer.graph.onnx_model import assert_computes, make_onnx
    from dmformer.model.canonical import assert_equal, canonicalize

    model = reference
    if options.canonical:
        import torch

        model = canonicalize(reference)
        assert_equal(reference, model, torch.from_numpy(golden.tensors), rtol=CANONICAL_ERROR)
    form = graph_options(checkpoint, options)
    graph = make_onnx(model, form, checkpoint.preprocessing, checkpoint.labels, progress)
    assert_computes(graph, model, golden.tensors)
    for size in other_sizes(options, checkpoint.preprocessing):
        assert_computes(graph, model, tensors_at(golden, checkpoint.preprocessing, size))
    return graph


def make(target: str, destination: Path, prepared: Prepared, options: ExportOptions, progress: Progress) -> Outcome:
    """Builds, verifies and publishes one bundle."""
    maker = get_maker(target)
    progress.say(f"building {target} {maker.label(options)}")
    return maker.make(destination, prepared, options, progress)


def tell_int8(outcomes: list[Outcome], prepared: Prepared, progress: Progress) -> None:
    """Says whether INT8 was worth it, and how far the engines that run here agree with each other."""
    for outcome in outcomes:
        if outcome.verdict is not None:
            progress.say(outcome.verdict.line)
    ran = [outcome.bundle for outcome in outcomes if outcome.proof.by == "engine"]
    if prepared.calibration is None or len(ran) < 2:
        return
    from dmformer.evaluation.agreement import cross_agreement
    from dmformer.pipeline.int8_export import search_images

    tensors = search_images(prepared).tensors
    shares = cross_agreement(ran, tensors)
    for pair, share in shares.items():
        progress.say(f"{pair}: agreement {share:.2%} on {len(tensors)} images")
