"""weights -> reference -> canonical model -> ONNX -> engine -> verification -> bundle, for one or several targets."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dmformer import __version__
from dmformer.bundle import Bundle
from dmformer.errors import MissingBackendError, RejectedError, UsageError
from dmformer.evaluation.tolerances import DEFAULTS
from dmformer.evaluation.verify import Answers, verify
from dmformer.golden import Golden
from dmformer.host import EXPORT_PACKAGES, host_record, package_version
from dmformer.manifest import (
    Manifest,
    Precision,
    PrecisionRecord,
    Proof,
    RuntimeRecord,
    SourceRecord,
    TensorSpec,
)
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.sources import Sources, open_sources
from dmformer.progress import Progress, Silent
from dmformer.runtimes.base import EngineRequest, SessionOptions, only_cpu, require
from dmformer.runtimes.registry import get_runtime
from dmformer.staging import Staging, check_destination, staged

if TYPE_CHECKING:
    import onnx

    from dmformer.export.from_torch import GraphOptions
    from dmformer.model.checkpoint import Checkpoint
    from dmformer.model.network import DMFormer

REJECTED = ".rejected"
CANONICAL_ERROR = 1e-4
"""Largest allowed relative difference between the canonical and the reference network in float32."""
TOOLS = ("torch", "onnx", "onnxscript", "onnxsim", "onnxruntime", "numpy", "pillow")
STORED: dict[Precision, str] = {"fp32": "float32", "fp16": "float16", "int8": "int8"}


@dataclass(frozen=True)
class Outcome:
    """One finished export: the bundle where it was kept, with its proof."""

    bundle: Bundle
    proof: Proof


@dataclass(frozen=True)
class Prepared:
    """What all targets of one export share.

    Attributes:
        checkpoint: The weights.
        graph: The float32 graph, checked against PyTorch.
        scratch: A directory for intermediate files, gone when the export ends.
        golden: The golden samples.
        answers: Gives the reference's answers on the verification set, computing them once; None without a set.
    """

    checkpoint: Checkpoint
    graph: onnx.ModelProto
    scratch: Path
    golden: Golden
    answers: Callable[[], Answers | None]


def export_bundle(
    weights: Checkpoint | Path | str | None = None, target: str = "onnxruntime", options: ExportOptions | None = None
) -> Bundle:
    """Exports, builds and verifies one engine. This is ``dmformer.export``.

    Args:
        weights: A checkpoint, the path of one, or None for the embedded one.
        target: ``onnx``, ``onnxruntime`` or ``openvino``.
        options: Everything else; its ``targets`` are ignored.

    Returns:
        The verified bundle.

    Raises:
        RejectedError: The engine fell below its tolerance; the bundle is kept under a name ending in ``.rejected``.
        DmformerError: See `dmformer.errors`.
    """
    chosen = replace(options or ExportOptions(), targets=(target,))
    outcome = export_bundles(weights, chosen)[0]
    if not outcome.proof.passed:
        raise RejectedError(
            f"{outcome.bundle.path}: {'; '.join(outcome.proof.failures)}", "choose another precision or tolerance"
        )
    return outcome.bundle


def export_bundles(
    weights: Checkpoint | Path | str | None, options: ExportOptions, progress: Progress | None = None
) -> list[Outcome]:
    """Exports, builds and verifies an engine for every target.

    Nothing is written before the whole input has been checked; each bundle appears when it is verified.

    Args:
        weights: A checkpoint, the path of one, or None for the embedded one.
        options: What to do.
        progress: Watches the work.

    Raises:
        DmformerError: See `dmformer.errors`.
    """
    watch = progress or Silent()
    check_options(options)
    sources = open_sources(weights, options.size, options.data, options.max_images)
    graph_options(sources.checkpoint, options)
    for note in sources.notes:
        watch.say(note)
    places = {target: place(sources.checkpoint.name, target, options) for target in options.targets}
    for destination in places.values():
        check_destination(destination, options.force)
    with tempfile.TemporaryDirectory(prefix="dmformer-") as scratch:
        prepared = prepare(sources, options, Path(scratch), watch)
        return [make(target, places[target], prepared, options, watch) for target in options.targets]


def place(name: str, target: str, options: ExportOptions) -> Path:
    """Where a bundle goes."""
    return options.output / f"{name}-{target}-{options.precision}"


def check_options(options: ExportOptions) -> None:
    """Raises what can be known to be wrong before anything is read."""
    if not options.targets:
        raise UsageError("no target given", "name at least one --target")
    for package in EXPORT_PACKAGES:
        _require_package(package)
    for target in options.targets:
        require(get_runtime(target))
    if options.precision == "int8":
        raise UsageError("--int8 is not built yet", "use --fp32 or --fp16")
    only_cpu(SessionOptions(device=options.device), " and ".join(options.targets))
    if options.golden_images < 1:
        raise UsageError("a bundle needs at least one golden image", "give --golden-images 1 or more")


def _require_package(package: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise MissingBackendError(
            f"exporting needs {package}, which is not installed", "pip install 'dmformer[export]'"
        )


def graph_options(checkpoint: Checkpoint, options: ExportOptions) -> GraphOptions:
    """The shape of the graph; raises `UsageError` for one that cannot be."""
    from dmformer.export.from_torch import GraphOptions

    size = checkpoint.preprocessing.size
    return GraphOptions(size, options.batch, options.dynamic, options.opset, options.simplify)


def prepare(sources: Sources, options: ExportOptions, scratch: Path, progress: Progress) -> Prepared:
    """From weights to the ONNX graph, checked at every step against the reference on real images."""
    from dmformer.pipeline.reference import answer, make_golden

    checkpoint = sources.checkpoint
    reference = checkpoint.build()
    golden = make_golden(reference, sources.samples, options.golden_images, checkpoint.preprocessing)
    graph = make_graph(checkpoint, reference, golden, options)

    @cache
    def answers() -> Answers | None:
        dataset = sources.dataset
        return None if dataset is None else answer(reference, dataset, checkpoint.preprocessing, progress)

    return Prepared(checkpoint, graph, scratch, golden, answers)


def make_graph(checkpoint: Checkpoint, reference: DMFormer, golden: Golden, options: ExportOptions) -> onnx.ModelProto:
    """The float32 graph, checked against the reference."""
    from dmformer.export.onnx_model import assert_computes, make_onnx
    from dmformer.model.canonical import assert_equal, canonicalize

    model = reference
    if options.canonical:
        import torch

        model = canonicalize(reference)
        assert_equal(reference, model, torch.from_numpy(golden.tensors), rtol=CANONICAL_ERROR)
    graph = make_onnx(model, graph_options(checkpoint, options), checkpoint.preprocessing, checkpoint.labels)
    assert_computes(graph, model, golden.tensors)
    return graph


def make(target: str, destination: Path, prepared: Prepared, options: ExportOptions, progress: Progress) -> Outcome:
    """Builds, verifies and publishes one bundle."""
    runtime = get_runtime(target)
    progress.say(f"building {target} {options.precision}")
    with staged(destination, options.force) as staging:
        path = prepared.scratch / f"{target}.onnx"
        path.write_bytes(graph_for(prepared.graph, options.precision).SerializeToString(deterministic=True))
        request = EngineRequest(str(path), str(staging.directory), options.precision, STORED[options.precision])
        bundle = runtime.build(request, draft(target, prepared, options), prepared.golden)
        asked = options.tolerance or DEFAULTS[options.precision]
        proof = verify(bundle, prepared.answers(), tolerance=asked, progress=progress)
        return publish(staging, bundle.with_proof(proof), proof)


def graph_for(graph: onnx.ModelProto, precision: Precision) -> onnx.ModelProto:
    """The graph in the precision that was asked for: precision is a property of the graph."""
    from dmformer.export.half import compress_weights

    return compress_weights(graph) if precision == "fp16" else graph


def publish(staging: Staging, bundle: Bundle, proof: Proof) -> Outcome:
    """Renames a bundle into place; one that fell below its tolerance goes under a name ending in ``.rejected``."""
    destination = staging.destination
    if not proof.passed:
        destination = destination.with_name(destination.name + REJECTED)
        # A rejected bundle of an earlier run is in nobody's use.
        check_destination(destination, force=True)
    return Outcome(replace(bundle, path=staging.publish(destination)), proof)


def draft(target: str, prepared: Prepared, options: ExportOptions) -> Manifest:
    """The manifest as far as it is known before the build."""
    checkpoint, batch = prepared.checkpoint, None if options.dynamic else options.batch
    return Manifest(
        name=checkpoint.name,
        target=target,
        precision=PrecisionRecord(requested=options.precision, stored=STORED[options.precision], executes="unknown"),
        files={},
        input=TensorSpec(name="image", shape=(batch, *checkpoint.preprocessing.shape)),
        output=TensorSpec(name="logits", shape=(batch, checkpoint.config.num_classes)),
        preprocessing=checkpoint.preprocessing,
        labels=checkpoint.labels,
        runtime=RuntimeRecord(name=target, version="unknown"),
        host=host_record(),
        source=SourceRecord(
            name=checkpoint.name, sha256=checkpoint.digest, config=checkpoint.config, notes=checkpoint.notes
        ),
        tools={"dmformer": __version__, **{tool: package_version(tool) or "unknown" for tool in TOOLS}},
    )
