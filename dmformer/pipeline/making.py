"""One bundle of an export: built in its staging directory, verified, and renamed into place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmformer.bundle import Bundle
from dmformer.evaluation.reference import ReferenceOutputs
from dmformer.evaluation.verify import verify
from dmformer.fields import TensorSpec
from dmformer.golden import Golden
from dmformer.host import EXPORT_PACKAGES, host_record, library_versions
from dmformer.manifest import Manifest, Proof
from dmformer.pipeline.deciding import class_map_of, deciding
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.settling import recorded
from dmformer.pipeline.sizes import other_sizes, with_sizes
from dmformer.pipeline.sources import demonstration_of
from dmformer.pipeline.weights_options import WeightsOptions
from dmformer.precision import Precision
from dmformer.preprocessing import Preprocessing
from dmformer.progress import Progress
from dmformer.records import PrecisionRecord, RuntimeRecord, SourceRecord
from dmformer.runtimes.base import EngineRequest
from dmformer.runtimes.child import build_bundle
from dmformer.staging import Staging, check_destination
from dmformer.targets import get_target
from dmformer.version import __version__

if TYPE_CHECKING:
    import onnx

    from dmformer.calibration.collect import CalibrationSet
    from dmformer.model.checkpoint import Checkpoint
    from dmformer.pipeline.calibrating import Calibration
    from dmformer.pipeline.verdict import Int8Verdict

REJECTED = ".rejected"
STORED: dict[Precision, str] = {"fp32": "float32", "fp16": "float16", "int8": "int8"}


@dataclass(frozen=True)
class Outcome:
    """One finished export.

    Attributes:
        bundle: Where it was kept.
        proof: Its accuracy proof.
        verdict: For INT8, whether it is worth it on this machine.
    """

    bundle: Bundle
    proof: Proof
    verdict: Int8Verdict | None = None


@dataclass(frozen=True)
class Prepared:
    """What all targets of one export share.

    Attributes:
        checkpoint: The weights.
        graph: The float32 graph, checked against PyTorch.
        scratch: A directory for intermediate files, gone when the export ends.
        golden: The golden samples.
        reference: Gives the reference's outputs on the verification set, computing them once; None without a set.
        calibration: For INT8, its ranges and images.
        scanned: For targets that compute in half precision, images on which the range of values is looked at;
            None where only the golden samples are at hand.
    """

    checkpoint: Checkpoint
    graph: onnx.ModelProto
    scratch: Path
    golden: Golden
    reference: Callable[[], ReferenceOutputs | None]
    calibration: Calibration | None
    scanned: CalibrationSet | None = None


def built(
    target: str,
    graph: onnx.ModelProto,
    groups: dict[str, str],
    staging: Staging,
    prepared: Prepared,
    options: ExportOptions,
    build: Mapping[str, Any] | None = None,
) -> Bundle:
    """A bundle in its staging directory, in the place of one built there before; ``build`` is for its runtime."""
    request = request_for(target, graph, staging, prepared, options)
    return build_bundle(
        replace(request, build={**request.build, **(build or {})}),
        draft(target, groups, prepared, options),
        prepared.golden,
    )


def proven(bundle: Bundle, prepared: Prepared, options: ExportOptions, progress: Progress) -> tuple[Bundle, Proof]:
    """A bundle that was built, with its proof."""
    proof = verify(bundle, prepared.reference(), tolerance=options.required(), progress=progress)
    checkpoint = prepared.checkpoint
    proof = with_sizes(proof, bundle, checkpoint, other_sizes(options, checkpoint.preprocessing), progress)
    return bundle.with_proof(proof), proof


def request_for(
    target: str, graph: onnx.ModelProto, staging: Staging, prepared: Prepared, options: ExportOptions
) -> EngineRequest:
    """Writes a graph to disk, with its preprocessing where that was asked for, and asks for its engine."""
    if options.embed_preprocessing:
        from dmformer.graph.embedded import embed_preprocessing

        graph = embed_preprocessing(graph, prepared.checkpoint.preprocessing)
    if (map_ := class_map_of(target, prepared.checkpoint, options)) is not None:
        graph = deciding(graph, target, map_)
    path = prepared.scratch / f"{target}.onnx"
    path.write_bytes(graph.SerializeToString(deterministic=True))
    return EngineRequest(str(path), str(staging.directory), options.precision, STORED[options.precision])


def graph_for(graph: onnx.ModelProto, precision: Precision) -> onnx.ModelProto:
    """The graph in a float precision: precision is a property of the graph."""
    from dmformer.graph.half import compress_weights

    return compress_weights(graph) if precision == "fp16" else graph


def publish(staging: Staging, bundle: Bundle, proof: Proof) -> Outcome:
    """Renames a bundle into place; one that fell below its tolerance goes under a name ending in ``.rejected``."""
    destination = staging.destination
    if not proof.passed:
        destination = destination.with_name(destination.name + REJECTED)
        # A rejected bundle of an earlier run is in nobody's use.
        check_destination(destination, force=True)
    return Outcome(replace(bundle, path=staging.publish(destination)), proof)


def input_of(spec: Preprocessing, options: ExportOptions) -> TensorSpec:
    """What an engine takes: preprocessed tensors, or pixels of its size."""
    batch = None if options.dynamic else options.batch
    size = (None, None) if options.dynamic_size else spec.size
    if options.embed_preprocessing:
        return TensorSpec(name="image", shape=(batch, *size, spec.channels), dtype="uint8", layout="NHWC")
    return TensorSpec(name="image", shape=(batch, spec.channels, *size), layout="NCHW")


def draft(target: str, groups: dict[str, str], prepared: Prepared, options: ExportOptions) -> Manifest:
    """The manifest as far as it is known before the build."""
    checkpoint, spec = prepared.checkpoint, prepared.checkpoint.preprocessing
    taken, map_ = input_of(spec, options), class_map_of(target, checkpoint, options)
    first, *more = checkpoint.config.outputs(None if options.dynamic_size else spec.size, taken.shape[0])
    # A checkpoint that was handed over in memory cannot be named.
    named = replace(options.weights, task=None) != WeightsOptions() or demonstration_of(checkpoint.digest) is not None
    return Manifest(
        name=checkpoint.name,
        target=target,
        precision=PrecisionRecord(
            requested=options.precision,
            stored=STORED[options.precision],
            executes="unknown",
            groups=groups,
            isa=options.int8.cpu_isa if get_target(target).follows_isa and options.precision == "int8" else None,
        ),
        files={},
        input=taken,
        output=first,
        more_outputs=tuple(more),
        answer=map_.spec if map_ else None,
        preprocessing=spec,
        labels=checkpoint.labels,
        palette=checkpoint.palette,
        runtime=RuntimeRecord(name=target, version="unknown"),
        host=host_record(),
        source=SourceRecord(
            name=checkpoint.name,
            sha256=checkpoint.digest,
            config=checkpoint.config,
            notes=checkpoint.notes,
            key=checkpoint.key,
            names=checkpoint.names,
            origin=checkpoint.origin,
        ),
        tools={"dmformer": __version__, **library_versions(*EXPORT_PACKAGES, "numpy", "pillow")},
        options=recorded(options, target) if named else None,
    )
