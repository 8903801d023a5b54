"""``dmformer build``: the engine of a bundle, on the device that it is for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dmformer.cli import options
from dmformer.cli.exit_codes import BELOW_TOLERANCE

if TYPE_CHECKING:
    from dmformer.bundle import Bundle
    from dmformer.manifest import Proof
    from dmformer.progress import Progress
    from dmformer.runtimes.tensorrt.plan import BuildPlan

EXAMPLES = (
    ("dmformer build BUNDLE", "on the Jetson: builds the engine and verifies it against PyTorch's answers"),
    ("dmformer build BUNDLE --workspace 2 --opt-level 1", "with little memory, or little time"),
    ("dmformer build BUNDLE --trtexec 10.3", "only print NVIDIA's own command for that version"),
)


def build(  # noqa: PLR0913 - one parameter for each option
    bundle: Annotated[Path, typer.Argument(help="A bundle for tensorrt or tensorrt-rtx.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write here.", show_default="in the place of the bundle")
    ] = None,
    workspace: options.Workspace = None,
    opt_level: options.OptLevel = None,
    min_batch: options.MinBatch = None,
    opt_batch: options.OptBatch = None,
    max_batch: options.MaxBatch = None,
    portable: options.Portable = False,
    compute_capability: options.ComputeCapability = None,
    dla: options.Dla = None,
    timing_cache: options.TimingCacheFile = None,
    trtexec: Annotated[
        str | None,
        typer.Option("--trtexec", help="Print the command for this version instead of building.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle at --output.")] = False,
    json: options.Json = False,
) -> int:
    """Build a bundle's engine on this machine. Needs no torch.

    What is not given is as the bundle was exported. Exit code 0: verified. 1: below tolerance. 2: wrong input.
    """
    from dmformer.bundle import Bundle
    from dmformer.cli.output import TerminalProgress, one_line, print_json, print_summaries, printable
    from dmformer.runtimes.tensorrt.bundles import command_line, family_of, plan_in
    from dmformer.summary import summarize

    loaded = Bundle.load(bundle)
    family = family_of(loaded.manifest.target)
    plan = changed_plan(
        plan_in(loaded),
        min_batch=min_batch,
        opt_batch=opt_batch,
        max_batch=max_batch,
        workspace_gib=workspace,
        optimization_level=opt_level,
        portable=portable or None,
        compute_capabilities=tuple(compute_capability) if compute_capability else None,
        dla_core=dla,
    )
    if trtexec is not None:
        typer.echo(printable(command_line(family, loaded, plan, trtexec)))
        return 0
    if dla is not None:
        tell_dla(loaded, TerminalProgress())
    destination = bundle if output is None else output
    made, proof = build_bundle(loaded, plan, destination, output is None or force, timing_cache, TerminalProgress())
    if proof is None:
        typer.echo(one_line(f"built, not verified here: {family.unable_to_run()} -> {made.path}"), err=True)
        if json:
            print_json("dmformer.build/1", {"path": str(made.path), "verified": None})
        return 0
    record = summarize(made, proof)
    print_summaries([record])
    if json:
        print_json("dmformer.build/1", record)
    return 0 if proof.passed else BELOW_TOLERANCE


def tell_dla(bundle: Bundle, progress: Progress) -> None:
    """What would fall back from the DLA to the GPU, before anyone waits for a build."""
    from importlib.util import find_spec

    if find_spec("onnx") is None:
        progress.say("DLA: dmformer export --dla tells what falls back to the GPU; here, onnx is not installed")
        return
    import onnx

    from dmformer.graph.dla import dla_report

    for line in dla_report(onnx.load(str(bundle.file("graph")))):
        progress.say(line)


def changed_plan(plan: BuildPlan, **changes: object) -> BuildPlan:
    """A plan with the values that the user asked for; None leaves the bundle's.

    Raises:
        UsageError: A value is out of range, or batches are not in order.
    """
    from dmformer.runtimes.tensorrt.plan import make_plan

    kept = plan.model_dump(by_alias=True)
    return make_plan(**{**kept, **{name: value for name, value in changes.items() if value is not None}})


def build_bundle(
    bundle: Bundle,
    plan: BuildPlan,
    destination: Path,
    force: bool,
    timing_cache: Path | None,
    progress: Progress,
) -> tuple[Bundle, Proof | None]:
    """Builds and verifies an engine, and puts the finished bundle into place.

    Args:
        bundle: Holds the typed graph.
        plan: What is to be built.
        destination: Where the new bundle goes; the old one's place is allowed.
        force: Replace a bundle there.
        timing_cache: File; None takes the user's own.
        progress: Watches.

    Returns:
        The bundle, and its proof: None where an engine was built that cannot run here.

    Raises:
        DmformerError: See `dmformer.runtimes.tensorrt.bundles.rebuild`.
    """
    from dmformer.evaluation.layers.engine import engine_line
    from dmformer.evaluation.verify import asked_at_export, verify
    from dmformer.runtimes.tensorrt.bundles import family_of, rebuild
    from dmformer.staging import staged

    family = family_of(bundle.manifest.target)
    with staged(destination, force) as staging:
        made = rebuild(family, bundle, plan, staging.directory, timing_cache, progress)
        if line := engine_line(made):
            progress.say(line)
        proof = None
        if family.unable_to_run() is None:
            proof = verify(made, tolerance=asked_at_export(bundle), progress=progress)
            made = made.with_proof(proof)
        elif bundle.manifest.proof is not None and bundle.manifest.proof.by == "twin":
            # The twin of the same graph is as true of this engine as of the one before.
            made = made.with_proof(bundle.manifest.proof)
        return replace(made, path=staging.publish(destination)), proof
