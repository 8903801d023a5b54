"""Making one bundle for NVIDIA's libraries: a typed graph, an engine where one can be built, and the twin's proof."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmformer.bundle import Bundle
from dmformer.errors import UsageError
from dmformer.evaluation.layers.engine import engine_line
from dmformer.evaluation.verify import verify
from dmformer.geometry import TOTAL_STRIDE
from dmformer.graph.dla import dla_report
from dmformer.manifest import Manifest, Proof
from dmformer.pipeline.maker import Maker
from dmformer.pipeline.making import Outcome, Prepared, draft, publish, request_for
from dmformer.pipeline.option_groups import Size
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.sizes import other_sizes, with_sizes
from dmformer.pipeline.typed_graphs import TypedGraphs, typed_graphs
from dmformer.preprocessing import MAX_SIDE
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

SMALLEST = (TOTAL_STRIDE, TOTAL_STRIDE)
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
        if not options.dynamic_size and (options.build.min_size or options.build.max_size):
            raise UsageError(
                "--min-imgsz and --max-imgsz do nothing without --dynamic-size", "add it or leave them out"
            )
        check_plan(plan_for(options, options.size or SMALLEST), tensorrt_family(self.target.name).library)

    def scans(self, options: ExportOptions) -> bool:
        return options.precision == "fp16"

    def make(self, destination: Path, prepared: Prepared, options: ExportOptions, progress: Progress) -> Outcome:
        target, plan = self.target.name, plan_for(options, prepared.checkpoint.preprocessing.size)
        family = tensorrt_family(target)
        check_shapes(prepared.graph, family)
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


def check_shapes(graph: onnx.ModelProto, family: TensorRtFamily) -> None:
    """Raises `UsageError` for a graph that computes with its own open height and width: such engines are not built.

    TensorRT for RTX 1.7 fails inside its compiler (``const_ppg.cpp``) on the pooling matrices of a pyramid.
    """
    if any(node.op_type == "Shape" for node in graph.graph.node):
        raise UsageError(
            f"{family.library.title} cannot build this head with open height and width: it computes with them",
            "leave out --dynamic-size, or use another head or target",
        )


def alternative(
    graphs: TypedGraphs, manifest: Manifest, prepared: Prepared, options: ExportOptions, progress: Progress
) -> dict[str, Any]:
    """The graph with the depthwise levels in INT8 as a build's parameter, where its twin holds the tolerance."""
    if graphs.alternative is None:
        return {}
    proof = twin_proof(manifest, graphs.alternative, prepared, options, progress)
    largest = proof.largest
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


def plan_for(options: ExportOptions, size: Size) -> BuildPlan:
    """The build that the options ask for, with a profile for what is open.

    An open batch is one image to eight; an open size everything up to twice the usual one.
    """
    batches = {"min_batch": options.batch, "opt_batch": options.batch, "max_batch": options.batch}
    if options.dynamic:
        batches |= {"min_batch": 1, "max_batch": max(LARGEST_OPEN_BATCH, options.batch)}
    sizes: dict[str, Size] = {}
    if options.dynamic_size:
        largest = min(2 * size[0], MAX_SIDE), min(2 * size[1], MAX_SIDE)
        sizes = {"min_size": SMALLEST, "opt_size": size, "max_size": largest}
    return make_plan(**{**batches, **sizes, **options.build.plan()})


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
        return proof_of(bundle, prepared, options, SessionOptions(device=options.device), progress)
    proof = twin_proof(bundle.manifest, typed, prepared, options, progress)
    return proof.model_copy(update={"notes": (f"the engine itself was not run: {reason}", *proof.notes)})


def twin_proof(
    manifest: Manifest, typed: onnx.ModelProto, prepared: Prepared, options: ExportOptions, progress: Progress
) -> Proof:
    """The proof of a typed graph's numerical twin."""
    from dmformer.pipeline.twins import twin_bundle

    with scratch_directory() as scratch:
        twin = twin_bundle(manifest, prepared.golden, typed, scratch)
        proof = proof_of(twin, prepared, options, SessionOptions(), progress)
    return proof.model_copy(update={"by": "twin"})


def proof_of(
    bundle: Bundle, prepared: Prepared, options: ExportOptions, opening: SessionOptions, progress: Progress
) -> Proof:
    """The proof of an engine or a twin, at another size too where sizes are open and its profile has that."""
    proof = verify(bundle, prepared.reference(), tolerance=options.required(), options=opening, progress=progress)
    spec, largest = prepared.checkpoint.preprocessing, options.build.max_size or (MAX_SIDE, MAX_SIDE)
    sizes = tuple(one for one in other_sizes(options, spec) if one[0] <= largest[0] and one[1] <= largest[1])
    return with_sizes(proof, bundle, prepared.checkpoint, sizes, progress, opening)
