"""``dmformer export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dmformer.cli import coreml as coreml_options
from dmformer.cli import int8 as int8_options
from dmformer.cli import options
from dmformer.cli import weights as weights_options
from dmformer.cli.exit_codes import BELOW_TOLERANCE
from dmformer.errors import UsageError
from dmformer.targets import DEFAULT, TARGETS, get_target

if TYPE_CHECKING:
    from dmformer.manifest import Precision
    from dmformer.model.checkpoint import Checkpoint
    from dmformer.pipeline.options import ExportOptions

EXAMPLES = (
    ("dmformer export", "the embedded checkpoint, for ONNX Runtime"),
    ("dmformer export best.pt --target openvino --half", "your weights, stored as FP16"),
    ("dmformer export best.pt --target all --data val/ --json", "every runtime here, verified on your images"),
    ("dmformer export best.pt --target coreml --classifier", "for Xcode: image in, label and probabilities out"),
    ("dmformer export --preset small --random-weights --imgsz 224", "only to see the speed"),
)


def export(  # noqa: PLR0913 - one parameter for each option
    context: typer.Context,
    weights: Annotated[
        Path | None,
        typer.Argument(
            help="Trained weights: .safetensors, .pt or .pth. Default: the embedded checkpoint.", show_default=False
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            help=f"{', '.join(TARGETS)} or all; may be given several times.",
            show_default=DEFAULT,
        ),
    ] = None,
    fp32: Annotated[bool, typer.Option("--fp32", help="Full precision (the default).")] = False,
    half: Annotated[bool, typer.Option("--half", "--fp16", help="FP16 weights; the table says what executes.")] = False,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="INT8, calibrated and verified; falls back layer by layer to hold --max-drop."),
    ] = False,
    imgsz: Annotated[
        list[int] | None,
        typer.Option(
            "--imgsz",
            rich_help_panel=options.GRAPH,
            help="Input size, divisible by 32; twice for height and width.",
            show_default="the checkpoint's",
        ),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, rich_help_panel=options.GRAPH, help="Images in a batch.")] = 1,
    dynamic: Annotated[
        bool, typer.Option("--dynamic", rich_help_panel=options.GRAPH, help="Leave the batch size open.")
    ] = False,
    simplify: Annotated[
        bool, typer.Option("--simplify/--no-simplify", rich_help_panel=options.GRAPH, help="Run onnxsim on the graph.")
    ] = True,
    opset: Annotated[
        int, typer.Option("--opset", rich_help_panel=options.GRAPH, help="ONNX operator set, 20 or later.")
    ] = 20,
    canonical: Annotated[
        bool,
        typer.Option(
            "--canonical/--plain", rich_help_panel=options.GRAPH, help="Fold BatchNorm and layer scale first (exact)."
        ),
    ] = True,
    embed_preprocessing: Annotated[
        bool,
        typer.Option(
            "--embed-preprocessing",
            rich_help_panel=options.GRAPH,
            help="The engine takes pixels (uint8, NHWC, of its size) and normalizes them itself.",
        ),
    ] = False,
    data: options.Data = None,
    max_images: options.MaxImages = None,
    labels: weights_options.Labels = None,
    dilation: weights_options.Dilation = None,
    preset: weights_options.Preset = None,
    random_weights: weights_options.RandomWeights = False,
    calibration: int8_options.Calibration = None,
    images: int8_options.Images = 256,
    method: int8_options.MethodOption = "mse",
    cpu_isa: int8_options.CpuIsa = None,
    ranges: int8_options.RangesFile = None,
    plan: int8_options.PlanFile = None,
    allow_random: int8_options.AllowRandom = False,
    cache: int8_options.UseCache = True,
    mean: weights_options.Mean = None,
    std: weights_options.Std = None,
    resize: weights_options.Resize = None,
    resize_to: weights_options.ResizeTo = None,
    interpolation: weights_options.Interpolation = None,
    channel_order: weights_options.ChannelOrder = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Bundles go to OUTPUT/<model>-<target>-<precision>/.")
    ] = Path("build"),
    workspace: options.Workspace = None,
    opt_level: options.OptLevel = None,
    min_batch: options.MinBatch = None,
    opt_batch: options.OptBatch = None,
    max_batch: options.MaxBatch = None,
    portable: options.Portable = False,
    compute_capability: options.ComputeCapability = None,
    dla: options.Dla = None,
    timing_cache: options.TimingCacheFile = None,
    w8a16: coreml_options.W8A16 = False,
    classifier: coreml_options.Classifier = False,
    tensor_input: coreml_options.TensorInput = False,
    sizes: coreml_options.Sizes = None,
    deployment_target: coreml_options.DeploymentTarget = None,
    compute_units: coreml_options.ComputeUnits = None,
    author: coreml_options.Author = None,
    license: coreml_options.License = None,
    force: Annotated[bool, typer.Option("--force", help="Replace bundles that exist.")] = False,
    device: options.Device = "cpu",
    max_error: options.MaxError = None,
    min_agreement: options.MinAgreement = None,
    min_sqnr: options.MinSqnr = None,
    max_drop: options.MaxDrop = None,
    json: options.Json = False,
) -> int:
    """Export weights to engines, and verify each against PyTorch.

    Exit code 0: verified. 1: built, but below the tolerance; kept under a name ending in .rejected. 2: wrong input.
    """
    from dmformer.evaluation.tolerances import DEFAULTS, with_overrides
    from dmformer.pipeline.options import ExportOptions

    targets = choose_targets(target or [DEFAULT])
    precision = choose_precision(targets, fp32=fp32, fp16=half, int8=int8 or w8a16)
    refuse_unread(context, targets, precision)
    chosen = ExportOptions(
        targets=targets,
        precision=precision,
        size=options.parse_size(imgsz),
        batch=batch,
        dynamic=dynamic,
        opset=opset,
        simplify=simplify,
        canonical=canonical,
        output=output,
        force=force,
        data=data,
        max_images=max_images,
        tolerance=with_overrides(
            DEFAULTS[precision],
            max_abs_error=max_error,
            min_agreement=min_agreement,
            min_sqnr_db=min_sqnr,
            max_drop=max_drop,
        ),
        int8=int8_options.int8_options(
            calibration=calibration,
            images=images,
            method=method,
            cpu_isa=cpu_isa,
            ranges=ranges,
            plan=plan,
            allow_random=allow_random,
            use_cache=cache,
        ),
        build={
            "workspace_gib": workspace,
            "optimization_level": opt_level,
            "min_batch": min_batch,
            "opt_batch": opt_batch,
            "max_batch": max_batch,
            "portable": portable or None,
            "compute_capabilities": tuple(compute_capability) if compute_capability else None,
            "dla_core": dla,
        },
        coreml=coreml_options.coreml_options(
            w8a16=w8a16,
            classifier=classifier,
            tensor_input=tensor_input,
            sizes=sizes,
            deployment_target=deployment_target,
            compute_units=compute_units,
            author=author,
            license=license,
        ),
        timing_cache=timing_cache,
        embed_preprocessing=embed_preprocessing,
        device=device,
    )
    source = weights_options.with_preprocessing(
        weights_options.choose_weights(weights, preset, random_weights, labels, dilation),
        size=chosen.size,
        mean=mean,
        std=std,
        resize=resize,
        resize_to=resize_to,
        interpolation=interpolation,
        channel_order=channel_order,
    )
    return export_and_print(source, chosen, json)


def refuse_unread(context: typer.Context, targets: tuple[str, ...], precision: Precision) -> None:
    """Refuses options that none of the targets reads.

    Raises:
        UsageError: Names the first of them.
    """
    read = {TARGETS[name].panel for name in targets}
    nvidia = options.NVIDIA in read
    if precision != "int8" and not nvidia:  # FP16 for NVIDIA's libraries is scanned on calibration images
        options.refuse_without(context, "--int8", int8_options.INT8)
    if not nvidia:
        named = " or ".join(row.name for row in TARGETS.values() if row.panel == options.NVIDIA)
        why = "belongs to engines for NVIDIA's libraries"
        options.refuse_idle(context, {options.NVIDIA}, why, f"add --target {named}, or leave it out")
    if coreml_options.COREML not in read:
        options.refuse_idle(context, {coreml_options.COREML}, "belongs to Core ML packages", "add --target coreml")


def export_and_print(source: Checkpoint | None, chosen: ExportOptions, json: bool) -> int:
    """Runs the export and shows what came of it; the exit code."""
    from dmformer.cli.output import TerminalProgress, print_json, print_summaries
    from dmformer.pipeline.export import export_bundles
    from dmformer.summary import summarize

    outcomes = export_bundles(source, chosen, TerminalProgress())
    records = [
        {
            **summarize(outcome.bundle, outcome.proof),
            "int8_verdict": outcome.verdict.to_json() if outcome.verdict else None,
        }
        for outcome in outcomes
    ]
    print_summaries(records)
    if json:
        print_json("dmformer.export/1", {"bundles": records})
    return 0 if all(outcome.proof.passed for outcome in outcomes) else BELOW_TOLERANCE


def choose_precision(targets: tuple[str, ...], **asked: bool) -> Precision:
    """The one precision that was asked for; where none was, FP32, or FP16 for targets whose nature it is."""
    names = [name for name, wanted in asked.items() if wanted]
    if len(names) > 1:
        raise UsageError(f"--{' and --'.join(names)} exclude each other", "give one; run again for another bundle")
    from typing import cast

    natural = {TARGETS[name].natural for name in targets}
    return cast("Precision", names[0] if names else natural.pop() if len(natural) == 1 else "fp32")


def choose_targets(names: list[str]) -> tuple[str, ...]:
    """The targets without repetition; ``all`` stands for every runtime that is installed."""
    from dmformer.runtimes.registry import get_runtime

    if "all" in names:
        runtimes = {name: get_runtime(name) for name in TARGETS}
        # What opens a package need not be what builds it.
        return tuple(name for name, one in runtimes.items() if not one.missing() and not one.missing_for_export())
    for name in names:
        get_target(name)
    return tuple(dict.fromkeys(names))
