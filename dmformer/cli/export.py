"""``dmformer export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dmformer.cli import BELOW_TOLERANCE, options
from dmformer.errors import UsageError

if TYPE_CHECKING:
    from dmformer.manifest import Precision
    from dmformer.model.checkpoint import Checkpoint

EXAMPLES = (
    ("dmformer export", "the embedded checkpoint, for ONNX Runtime"),
    ("dmformer export best.pt --target openvino --half", "your weights, stored as FP16"),
    ("dmformer export best.pt --target all --data val/ --json", "every runtime here, verified on your images"),
    ("dmformer export --preset small --random-weights --imgsz 224", "only to see the speed"),
)


def export(  # noqa: PLR0913 - one parameter for each option
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
            help="onnx, onnxruntime, openvino or all; may be given several times.",
            show_default="onnxruntime",
        ),
    ] = None,
    fp32: Annotated[bool, typer.Option("--fp32", help="Full precision (the default).")] = False,
    half: Annotated[bool, typer.Option("--half", "--fp16", help="FP16 weights; the table says what executes.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="INT8.")] = False,
    imgsz: Annotated[
        list[int] | None,
        typer.Option(
            "--imgsz", help="Input size, divisible by 32; twice for height and width.", show_default="the checkpoint's"
        ),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images in a batch.")] = 1,
    dynamic: Annotated[bool, typer.Option("--dynamic", help="Leave the batch size open.")] = False,
    simplify: Annotated[bool, typer.Option("--simplify/--no-simplify", help="Run onnxsim on the graph.")] = True,
    opset: Annotated[int, typer.Option("--opset", help="ONNX operator set, 20 or later.")] = 20,
    canonical: Annotated[
        bool, typer.Option("--canonical/--plain", help="Fold BatchNorm and layer scale first (exact).")
    ] = True,
    data: options.Data = None,
    max_images: options.MaxImages = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="Class names: text, one per line, or a JSON list.", show_default=False),
    ] = None,
    dilation: Annotated[
        list[int] | None,
        typer.Option(
            "--dilation", help="Dilations of the levels, where the weights do not say.", show_default="1, 2, 3"
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="tiny, small or large; with --random-weights.", show_default=False)
    ] = None,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Seeded random weights, where only speed matters.")
    ] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Bundles go to OUTPUT/<model>-<target>-<precision>/.")
    ] = Path("build"),
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
    from dmformer.cli.output import TerminalProgress, print_json, print_summaries
    from dmformer.evaluation.tolerances import DEFAULTS, with_overrides
    from dmformer.pipeline.export import export_bundles
    from dmformer.pipeline.options import ExportOptions
    from dmformer.summary import summarize

    precision = choose_precision(fp32=fp32, fp16=half, int8=int8)
    chosen = ExportOptions(
        targets=choose_targets(target or ["onnxruntime"]),
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
            max_top1_drop=max_drop,
        ),
        device=device,
    )
    source = choose_weights(weights, preset, random_weights, labels, dilation)
    outcomes = export_bundles(source, chosen, TerminalProgress())
    records = [summarize(outcome.bundle, outcome.proof) for outcome in outcomes]
    print_summaries(records)
    if json:
        print_json("dmformer.export/1", {"bundles": records})
    return 0 if all(outcome.proof.passed for outcome in outcomes) else BELOW_TOLERANCE


def choose_precision(**asked: bool) -> Precision:
    """The one precision that was asked for; FP32 where none was."""
    names = [name for name, wanted in asked.items() if wanted]
    if len(names) > 1:
        raise UsageError(f"--{' and --'.join(names)} exclude each other", "give one; run again for another bundle")
    from typing import cast

    return cast("Precision", names[0] if names else "fp32")


def choose_targets(names: list[str]) -> tuple[str, ...]:
    """The targets without repetition; ``all`` stands for every runtime that is installed."""
    from dmformer.runtimes.registry import RUNTIMES, get_runtime

    if "all" in names:
        return tuple(name for name in RUNTIMES if get_runtime(name).missing() is None)
    for name in names:
        get_runtime(name)
    return tuple(dict.fromkeys(names))


def choose_weights(
    weights: Path | None, preset: str | None, random_weights: bool, labels: Path | None, dilation: list[int] | None
) -> Checkpoint | None:
    """The checkpoint that the options describe, or None for the embedded one."""
    if random_weights != (preset is not None):
        raise UsageError("--preset and --random-weights go together", "for example: --preset small --random-weights")
    if preset is not None:
        if weights is not None:
            raise UsageError("--random-weights excludes a weights file", "leave one of them out")
        from dmformer.model.checkpoint import random_checkpoint

        return random_checkpoint(preset)
    if weights is None:
        if labels or dilation:
            raise UsageError("--labels and --dilation describe a weights file, and none was given")
        return None
    from dmformer.model.checkpoint import load_checkpoint

    return load_checkpoint(weights, labels=labels, dilations=dilation)
