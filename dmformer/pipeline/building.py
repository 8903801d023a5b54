"""What ``dmformer build`` does: the engine of a bundle, on the device that it is for. Needs no torch."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from dmformer.bundle import Bundle
from dmformer.documents import Summarized, schema
from dmformer.errors import UsageError
from dmformer.evaluation.layers.engine import engine_line
from dmformer.evaluation.verify import exported_tolerance, verify
from dmformer.manifest import Proof
from dmformer.pipeline.requests import BuildOptions
from dmformer.progress import Progress, Silent
from dmformer.runtimes.tensorrt.bundles import command_line, plan_in, rebuild, tensorrt_family
from dmformer.runtimes.tensorrt.plan import BuildPlan, make_plan
from dmformer.staging import check_destination, staged
from dmformer.summary import summarize


def for_device(options: BuildOptions) -> BuildOptions:
    """What another machine builds: a bundle for here, in the place of the old one where no other is named.

    Raises:
        UsageError: A file of timings was named: they are another machine's.
        OutputError: The bundle could not be written here.
    """
    if options.engine.timing_cache is not None:
        raise UsageError("--timing-cache does not go to another machine", "leave it out: each keeps its own")
    place = options.output or options.bundle
    sent = replace(options, output=place, force=options.force or options.output is None)
    if options.trtexec is None:
        check_destination(place, sent.force)
    return sent


class BuildDocument(Summarized):
    """An engine that was built, or NVIDIA's command for it.

    Attributes:
        path: The new bundle; None where only the command was asked for.
        verified: Whether it answers like PyTorch; None where it could not run here, and ``reason`` says why.
        command: NVIDIA's own.
    """

    schema_: Literal["dmformer.build/2"] = schema("dmformer.build/2")
    path: str | None = None
    verified: bool | None = None
    reason: str | None = None
    command: str | None = None


def build(options: BuildOptions, progress: Progress | None = None) -> BuildDocument:
    """Builds a bundle's engine on this machine, and verifies it where it can run here.

    What is not asked for is as the bundle was exported.

    Raises:
        UsageError: A value is out of range, or batches are not in order.
        DmformerError: See `dmformer.runtimes.tensorrt.bundles.rebuild`.
    """
    watch = progress or Silent()
    bundle = Bundle.load(options.bundle)
    family = tensorrt_family(bundle.manifest.target)
    plan = make_plan(**{**plan_in(bundle).model_dump(by_alias=True), **options.engine.plan()})
    if options.trtexec is not None:
        return BuildDocument(command=command_line(family, bundle, plan, options.trtexec))
    if options.engine.dla_core is not None:
        tell_dla(bundle, watch)
    built, proof = build_bundle(bundle, plan, options, watch)
    if proof is None:
        return BuildDocument(path=str(built.path), reason=family.unable_to_run())
    return BuildDocument(**summarize(built, proof))


def tell_dla(bundle: Bundle, progress: Progress) -> None:
    """What would fall back from the DLA to the GPU, before anyone waits for a build."""
    if find_spec("onnx") is None:
        progress.say("DLA: dmformer export --dla tells what falls back to the GPU; here, onnx is not installed")
        return
    import onnx

    from dmformer.graph.dla import dla_report

    for line in dla_report(onnx.load(str(bundle.file("graph")))):
        progress.say(line)


def build_bundle(
    bundle: Bundle, plan: BuildPlan, options: BuildOptions, progress: Progress
) -> tuple[Bundle, Proof | None]:
    """Builds and verifies an engine, and puts the finished bundle into place.

    Args:
        bundle: Holds the typed graph.
        plan: What is to be built.
        options: Where the new bundle goes, and the builder's timings; the old one's place is replaced unless it names
            another.
        progress: Watches.

    Returns:
        The bundle, and its proof: None where an engine was built that cannot run here.

    Raises:
        DmformerError: See `dmformer.runtimes.tensorrt.bundles.rebuild`.
    """
    family = tensorrt_family(bundle.manifest.target)
    destination: Path = options.output or options.bundle
    with staged(destination, options.output is None or options.force) as staging:
        built = rebuild(family, bundle, plan, staging.directory, options.engine.timing_cache, progress)
        if line := engine_line(built):
            progress.say(line)
        proof = None
        if family.unable_to_run() is None:
            proof = verify(built, tolerance=exported_tolerance(bundle), progress=progress)
            built = built.with_proof(proof)
        elif bundle.manifest.proof is not None and bundle.manifest.proof.by == "twin":
            # The twin of the same graph is as true of this engine as of the one before.
            built = built.with_proof(bundle.manifest.proof)
        return replace(built, path=staging.publish(destination)), proof
