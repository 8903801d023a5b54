"""Making one bundle for NVIDIA's libraries: a typed graph, an engine where one can be built, and the twin's proof."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmformer.bundle import Bundle
from dmformer.errors import UsageError
from dmformer.evaluation.layers.engine import engine_line
from dmformer.evaluation.verify import verify
from dmformer.graph.dla import dla_report
from dmformer.manifest import Manifest, Proof
from dmformer.pipeline.maker import Maker
from dmformer.pipeline.making import Outcome, Prepared, draft, publish, request_for
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.typed_graphs import TypedGraphs, typed_graphs
from dmformer.progress import Progress
from dmformer.runtimes.base import SessionOptions
from dmformer.runtimes.tensorrt.bundles import make_bundle, tensorrt_family
from dmformer.runtimes.tensorrt.levels import ALTERNATIVE
from dmformer.runtimes.tensorrt.plan import BuildPlan, check_plan, make_plan
from dmformer.runtimes.tensorrt.runtime import TIMING_CACHE, TensorRtFamily
from dmformer.scratch import scratch_directory
from dmformer.staging import staged
from dmformer.targets import TARGETS

if TYPE_CHECKING:
    import onnx

LARGEST_OPEN_BATCH = 8
"""Upper end of an open batch's profile where the user names none: this project's choice."""


class TensorRtMaker(Maker):
    """See `dmformer.pipeline.maker.Maker`: builds what can be built here, and verifies it or its twin."""

    def check(self, options: ExportOptions) -> None:
        super().check(options)
        if options.embed_preprocessing:
            able = " or ".join(row.name for row in TARGETS.values() if not row.builds_later)
            raise UsageError(
                f"--embed-preprocessing is not supported for {self.target.name}: its engines take tensors",
                f"leave it out, or use it with {able}",
            )
        check_plan(plan_for(options), tensorrt_family(self.target.name).library)

    def scans(self, options: ExportOptions) -> bool:
        return options.precision == "fp16"

    def make(self, destination: Path, prepared: Prepared, options: ExportOptions, progress: Progress) -> Outcome:
        target, plan = self.target.name, plan_for(options)
        family = tensorrt_family(target)
        graphs = typed_graphs(target, prepared, options, progress)
        manifest = draft(target, graphs.groups, prepared, options)
        if plan.dla_core is not None:
            for refused in dla_report(graphs.model):
                progress.say(refused)
        with staged(destination, options.force) as staging:
            request = request_for(target, graphs.model, staging, prepared, options)
            build = build_parameters(plan, options) | alternative(graphs, manifest, prepared, options, progress)
            bundle = make_bundle(family, replace(request, build=build), manifest, prepared.golden, progress)
            if line := engine_line(bundle):
                progress.say(line)
            proof = proven(family, bundle, graphs.model, prepared, options, progress)
            return publish(staging, bundle.with_proof(proof), proof)


def alternative(
    graphs: TypedGraphs, manifest: Manifest, prepared: Prepared, options: ExportOptions, progress: Progress
) -> dict[str, Any]:
    """The graph with the depthwise levels in INT8 as a build's parameter, where its twin holds the tolerance."""
    if graphs.alternative is None:
        return {}
    proof = twin_proof(manifest, graphs.alternative, prepared, options, progress)
    largest = max(proof.comparisons, key=lambda comparison: comparison.images)
    if not proof.passed:
        progress.say(f"depthwise levels stay float16: in INT8 {'; '.join(proof.failures)}")
        return {}
    progress.say(
        f"depthwise levels: float16 unless a GPU is faster in INT8, which dmformer build times on the device "
        f"(twin in INT8: agreement {largest.agreement or 0.0:.2%} on {largest.images} images)"
    )
    path = prepared.scratch / "alternative.onnx"
    path.write_bytes(graphs.alternative.SerializeToString(deterministic=True))
    return {ALTERNATIVE: str(path)}


def plan_for(options: ExportOptions) -> BuildPlan:
    """The build that the options ask for; an open batch gets a profile from one image to eight."""
    batches = {"min_batch": options.batch, "opt_batch": options.batch, "max_batch": options.batch}
    if options.dynamic:
        batches |= {"min_batch": 1, "max_batch": max(LARGEST_OPEN_BATCH, options.batch)}
    return make_plan(**{**batches, **options.build.plan()})


def build_parameters(plan: BuildPlan, options: ExportOptions) -> dict[str, Any]:
    """The plan as a request carries it, with the timing cache of this machine."""
    parameters = plan.model_dump(mode="json", by_alias=True)
    if options.build.timing_cache is not None:
        parameters[TIMING_CACHE] = str(options.build.timing_cache)
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
    reason = family.unable_to_run()
    if reason is None:
        opening = SessionOptions(device=options.device)
        return verify(bundle, prepared.reference(), tolerance=options.required(), options=opening, progress=progress)
    proof = twin_proof(bundle.manifest, typed, prepared, options, progress)
    return proof.model_copy(update={"notes": (f"the engine itself was not run: {reason}", *proof.notes)})


def twin_proof(
    manifest: Manifest, typed: onnx.ModelProto, prepared: Prepared, options: ExportOptions, progress: Progress
) -> Proof:
    """The proof of a typed graph's numerical twin."""
    from dmformer.pipeline.twins import twin_bundle

    with scratch_directory() as scratch:
        twin = twin_bundle(manifest, prepared.golden, typed, scratch)
        proof = verify(twin, prepared.reference(), tolerance=options.required(), progress=progress)
    return proof.model_copy(update={"by": "twin"})
