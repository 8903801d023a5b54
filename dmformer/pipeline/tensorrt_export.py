"""Making one bundle for NVIDIA's libraries: a typed graph, an engine where one can be built, and the twin's proof."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmformer.bundle import Bundle
from dmformer.evaluation.tolerances import DEFAULTS
from dmformer.evaluation.verify import verify
from dmformer.manifest import Proof
from dmformer.pipeline.making import Outcome, Prepared, draft, publish, request_for
from dmformer.pipeline.options import ExportOptions
from dmformer.progress import Progress
from dmformer.runtimes.tensorrt.dla import dla_report
from dmformer.runtimes.tensorrt.plan import BuildPlan, make_plan
from dmformer.runtimes.tensorrt.precision import ScannedImages, typed_graph
from dmformer.runtimes.tensorrt.runtime import TensorRtFamily, family_of
from dmformer.staging import staged

if TYPE_CHECKING:
    import onnx

LARGEST_OPEN_BATCH = 8
"""Upper end of an open batch's profile where the user names none: this project's choice."""


def make_tensorrt(
    target: str, destination: Path, prepared: Prepared, options: ExportOptions, progress: Progress
) -> Outcome:
    """Builds what can be built here, verifies it or its twin, and publishes the bundle.

    Raises:
        UsageError: The build cannot be done as asked.
        DmformerError: See `dmformer.errors`.
    """
    plan = plan_for(options)
    family = family_of(target)
    graph, groups = source_graph(target, prepared, options, progress)
    typed = typed_graph(graph, images_of(prepared), options.precision, progress)
    if options.precision != "fp32":
        progress.say(f"float16: ranges of all values looked at on {images_of(prepared).count} images")
    notes = [*typed.notes, *(dla_report(typed.model) if plan.dla_core is not None else ())]
    for note in notes:
        progress.say(note)
    with staged(destination, options.force) as staging:
        request = request_for(target, typed.model, staging, prepared, options)
        request = replace(request, build=build_parameters(plan, options))
        bundle = family.build(request, draft(target, groups, prepared, options), prepared.golden, progress)
        proof = proven(family, bundle, typed.model, prepared, options, progress)
        return publish(staging, bundle.with_proof(proof), proof)


def source_graph(
    target: str, prepared: Prepared, options: ExportOptions, progress: Progress
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """The float32 graph, or the INT8 one by TensorRT's rules, with its precision by group."""
    if prepared.calibration is None:
        return prepared.graph, {}
    from dmformer.pipeline.int8_export import workshop_for

    workshop = workshop_for(target, prepared, options)
    quantized = workshop.make(workshop.planned, progress)
    return quantized.graph, quantized.groups


def images_of(prepared: Prepared) -> ScannedImages:
    """The calibration images where there are any, otherwise the golden samples."""
    found = prepared.scanned
    if found is not None and not found.random:
        return ScannedImages(found.batches, found.count)
    return ScannedImages(lambda: [prepared.golden.tensors], len(prepared.golden.tensors))


def plan_for(options: ExportOptions) -> BuildPlan:
    """The build that the options ask for; an open batch gets a profile from one image to eight."""
    asked: dict[str, Any] = dict(options.build)
    batches = {"min_batch": options.batch, "opt_batch": options.batch, "max_batch": options.batch}
    if options.dynamic:
        batches |= {"min_batch": 1, "max_batch": max(LARGEST_OPEN_BATCH, options.batch)}
    return make_plan(**{**batches, **{name: value for name, value in asked.items() if value is not None}})


def build_parameters(plan: BuildPlan, options: ExportOptions) -> dict[str, Any]:
    """The plan as a request carries it, with the timing cache of this machine."""
    parameters = plan.model_dump(mode="json", by_alias=True)
    if options.timing_cache is not None:
        parameters["timing_cache"] = str(options.timing_cache)
    return parameters


def proven(
    family: TensorRtFamily,
    bundle: Bundle,
    typed: onnx.ModelProto,
    prepared: Prepared,
    options: ExportOptions,
    progress: Progress,
) -> Proof:
    """The proof of the engine where it can run, otherwise that of its numerical twin in ONNX Runtime."""
    asked = options.tolerance or DEFAULTS[options.precision]
    reason = family.unable_to_run()
    if reason is None:
        return verify(bundle, prepared.answers(), tolerance=asked, progress=progress)
    from dmformer.export.twin import twin_bundle

    progress.say(f"verified through its twin in ONNX Runtime: {reason}")
    with tempfile.TemporaryDirectory(prefix="dmformer-") as scratch:
        twin = twin_bundle(bundle, typed, Path(scratch))
        proof = verify(twin, prepared.answers(), tolerance=asked, progress=progress)
    return proof.model_copy(update={"by": "twin"})
