"""Making one Core ML package: from the canonical module, in float or with this project's own ranges, and its proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmformer.errors import UsageError
from dmformer.evaluation.verify import verify
from dmformer.graph.coreml.plan import (
    PackagePlan,
    PackageRequest,
    all_sizes,
    deployment_target,
    make_plan,
    size_names,
)
from dmformer.pipeline.deciding import class_map_of
from dmformer.pipeline.maker import Maker
from dmformer.pipeline.making import STORED, Outcome, Prepared, draft, publish
from dmformer.pipeline.option_groups import non_defaults
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.sizes import with_sizes
from dmformer.progress import Progress
from dmformer.runtimes.base import EngineRequest
from dmformer.runtimes.child import build_bundle
from dmformer.staging import staged
from dmformer.version import __version__

if TYPE_CHECKING:
    import onnx

    from dmformer.model.checkpoint import Checkpoint

TARGET = "coreml"
OPEN_BATCHES = (1, 2, 4, 8, 16, 32)
"""Batch sizes to choose from where the batch is left open: Core ML runs enumerated shapes on the Neural Engine, ranges
of shapes not (coremltools, "Flexible Input Shapes")."""
WEIGHTS_FILE = "canonical.safetensors"


def label_of(options: ExportOptions) -> str:
    """What a bundle's name ends in: the precision, for INT8 which one."""
    return plan_for(options).int8 if options.precision == "int8" else options.precision


def plan_for(options: ExportOptions) -> PackagePlan:
    """The package that the options ask for; an open batch becomes one of several sizes.

    Raises:
        UsageError: It cannot be built so.
    """
    batches = tuple(sorted({*OPEN_BATCHES, options.batch})) if options.dynamic else (options.batch,)
    return make_plan(batches=batches, **non_defaults(options.coreml))


class CoreMlMaker(Maker):
    """See `dmformer.pipeline.maker.Maker`: verifies in the evaluator, on a Mac in Core ML."""

    def check(self, options: ExportOptions) -> None:
        plan = plan_for(options)
        super().check(options)
        if not options.canonical:
            raise UsageError("Core ML packages are made from the canonical network", "leave out --plain")
        if options.dynamic_size:
            raise UsageError("--dynamic-size is not for coreml", "name the sizes that it is to take with --sizes")
        if options.embed_preprocessing and not plan.image_input:
            raise UsageError(
                "--embed-preprocessing for coreml is its image input, which takes one picture at a time",
                "leave out --tensor-input, --dynamic and --batch, or leave out --embed-preprocessing",
            )

    def label(self, options: ExportOptions) -> str:
        return label_of(options)

    def calibrates(self, options: ExportOptions) -> bool:
        return options.precision == "int8" and plan_for(options).int8 == "w8a8"

    def make(self, destination: Path, prepared: Prepared, options: ExportOptions, progress: Progress) -> Outcome:
        plan = plan_for(options)
        oldest, raised = deployment_target(plan, options.precision)
        if raised:
            progress.say(raised)
        sizes = all_sizes(plan, prepared.checkpoint.preprocessing)
        progress.say(described(plan, oldest, sizes))
        with staged(destination, options.force) as staging:
            request, groups = request_for(plan, prepared, options, staging.directory, progress)
            # An image input is the package's own; to the rest of dmformer it takes the tensors that pictures give.
            manifest = draft(self.target.name, groups, prepared, replace(options, embed_preprocessing=False))
            bundle = build_bundle(request, manifest, prepared.golden)
            proof = verify(bundle, prepared.reference(), tolerance=options.required(), progress=progress)
            proof = with_sizes(proof, bundle, prepared.checkpoint, sizes[1:], progress)
            return publish(staging, bundle.with_proof(proof), proof)


def described(plan: PackagePlan, target: str, sizes: tuple[tuple[int, int], ...]) -> str:
    """What the package takes, in a sentence."""
    if plan.image_input:
        what = "an image of 8 bits; its normalization is inside the package"
    else:
        what = f"a preprocessed tensor, batch {' or '.join(map(str, plan.batches))}"
    several = f", of {' or '.join(size_names([size]) for size in sizes)}" if len(sizes) > 1 else ""
    return f"the package is for {target} and later and takes {what}{several}"


def request_for(
    plan: PackagePlan, prepared: Prepared, options: ExportOptions, directory: Path, progress: Progress
) -> tuple[EngineRequest, dict[str, str]]:
    """What the child process builds from, and the precision by layer group."""
    from safetensors.torch import save_file

    weights, layers, ranges, groups = material(plan, prepared, options, progress)
    path = prepared.scratch / WEIGHTS_FILE
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    checkpoint = prepared.checkpoint
    package = PackageRequest(
        plan=plan,
        config=checkpoint.config,
        preprocessing=checkpoint.preprocessing,
        labels=checkpoint.labels,
        class_map=class_map_of(TARGET, checkpoint, options),
        layers=layers,
        ranges=ranges,
        metadata=metadata(checkpoint, plan, label_of(options)),
    )
    build = package.model_dump(mode="json")
    return EngineRequest(str(path), str(directory), options.precision, STORED[options.precision], build), groups


def material(
    plan: PackagePlan, prepared: Prepared, options: ExportOptions, progress: Progress
) -> tuple[dict[str, Any], tuple[str, ...], dict[str, tuple[float, float]], dict[str, str]]:
    """Weights, int8 layers, ranges of their inputs and precision by group."""
    if options.precision != "int8":
        return canonical_weights(prepared.checkpoint), (), {}, {}
    if plan.int8 == "w8a16":
        layers, groups = weight_layers(prepared.graph, options)
        return canonical_weights(prepared.checkpoint), layers, {}, groups
    return quantized_material(prepared, options, progress)


def canonical_weights(checkpoint: Checkpoint) -> dict[str, Any]:
    """The weights of the folded network, as PyTorch tensors."""
    from dmformer.model.canonical import canonicalize

    return dict(canonicalize(checkpoint.build()).state_dict())


def weight_layers(graph: onnx.ModelProto, options: ExportOptions) -> tuple[tuple[str, ...], dict[str, str]]:
    """The layers whose weights become int8: those of the plan that was given, or all but the gate's."""
    from dmformer.calibration.plan import default_plan, load_plan
    from dmformer.graph.qdq.sites import groups_of
    from dmformer.pipeline.quantizing import check_integers

    plan = default_plan(graph, TARGET) if options.int8.plan is None else load_plan(options.int8.plan)
    int8 = plan.int8_groups(graph)
    check_integers(graph, int8)
    return layers_in(graph, int8), {group: "int8" if group in int8 else "float" for group in groups_of(graph)}


def layers_in(graph: onnx.ModelProto, groups: frozenset[str]) -> tuple[str, ...]:
    """The layers of some groups, in the order of the computation."""
    from dmformer.graph.qdq.sites import COMPUTE, group_of

    return tuple(node.name for node in graph.graph.node if node.op_type in COMPUTE and group_of(node.name) in groups)


def quantized_material(
    prepared: Prepared, options: ExportOptions, progress: Progress
) -> tuple[dict[str, Any], tuple[str, ...], dict[str, tuple[float, float]], dict[str, str]]:
    """Equalized weights with corrected biases, and the ranges: what every other runtime's INT8 is made of too."""
    from dmformer.calibration.bias_correction import correct_biases
    from dmformer.graph.coreml.network import weights_of
    from dmformer.graph.qdq.coreml import activation_stats
    from dmformer.graph.qdq.sites import groups_of
    from dmformer.pipeline.int8_export import int8_graphs
    from dmformer.pipeline.quantizing import check_integers

    graphs = int8_graphs(TARGET, prepared, options)
    int8, quantizer = graphs.planned, graphs.quantizer
    check_integers(prepared.graph, int8)
    balanced = quantizer.balanced(int8)
    corrected = correct_biases(
        balanced, quantizer.emit(balanced, int8), int8, graphs.calibration.images.batches, progress=progress
    )
    stats = activation_stats(corrected, quantizer.ranges.spans(), int8)
    ranges = {layer: (span["rmin"], span["rmax"]) for layer, span in stats.items()}
    groups = {group: "int8" if group in int8 else "float" for group in groups_of(corrected)}
    return weights_of(corrected, prepared.checkpoint.config), layers_in(corrected, int8), ranges, groups


def metadata(checkpoint: Checkpoint, plan: PackagePlan, precision: str) -> Mapping[str, str]:
    """What Xcode shows of a package, and what an application needs to know to feed it."""
    size = "x".join(map(str, checkpoint.preprocessing.size))
    return {
        "author": plan.author,
        "license": plan.license,
        "description": f"{checkpoint.name}: DMFormer, {checkpoint.config.classes} classes, {size}, {precision}",
        "version": __version__,
        "dmformer.preprocessing": checkpoint.preprocessing.model_dump_json(),
        "dmformer.input": "image" if plan.image_input else "tensor",
        "dmformer.sizes": size_names(all_sizes(plan, checkpoint.preprocessing)),
        "dmformer.precision": precision,
        "dmformer.source_sha256": checkpoint.digest,
        "dmformer.version": __version__,
    }
