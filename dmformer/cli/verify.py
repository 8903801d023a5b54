"""``dmformer verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dmformer.cli import options
from dmformer.cli.exit_codes import BELOW_TOLERANCE

if TYPE_CHECKING:
    from dmformer.bundle import Bundle

EXAMPLES = (
    (
        "dmformer verify build/dmformer-tiny-fashion-mnist-openvino-fp32",
        "the golden samples, and the set it was made with",
    ),
    ("dmformer verify BUNDLE --data val/ --weights best.pt", "against PyTorch on your images"),
    ("dmformer verify BUNDLE --per-layer", "which layer group loses the accuracy"),
    ("dmformer verify BUNDLE --min-agreement 0.99 --json", "a gate for CI: exit code 1 below it"),
)


def verify(  # noqa: PLR0913 - one parameter for each option
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(help="A bundle: the directory that export made.", show_default=False)],
    data: options.Data = None,
    max_images: options.MaxImages = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            help="The bundle's weights, to compare with PyTorch on --data; needs torch.",
            show_default=False,
        ),
    ] = None,
    threads: options.Threads = 0,
    device: options.Device = "cpu",
    max_error: options.MaxError = None,
    min_agreement: options.MinAgreement = None,
    min_sqnr: options.MinSqnr = None,
    max_drop: options.MaxDrop = None,
    per_layer: Annotated[
        bool, typer.Option("--per-layer", help="Also tell the error of every layer, and where it jumps.")
    ] = False,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            help="With --per-layer: an FP32 bundle of the same weights, where PyTorch is not at hand.",
            show_default=False,
        ),
    ] = None,
    json: options.Json = False,
) -> int:
    """Check that a bundle is whole and that its engine answers like PyTorch on this machine.

    Needs neither torch nor the weights: the golden samples in the bundle carry PyTorch's answers.
    Exit code 0: within tolerance. 1: below it. 2: wrong input.
    """
    from dmformer.bundle import Bundle
    from dmformer.cli.output import TerminalProgress, print_json, print_summaries
    from dmformer.evaluation.tolerances import with_overrides
    from dmformer.evaluation.verify import asked_at_export
    from dmformer.pipeline.verification import VerifyOptions, verify_bundle
    from dmformer.runtimes.base import SessionOptions
    from dmformer.summary import summarize

    if not per_layer:
        options.refuse_without(context, "--per-layer", "reference")
    loaded = Bundle.load(bundle)
    tolerance = with_overrides(
        asked_at_export(loaded),
        max_abs_error=max_error,
        min_agreement=min_agreement,
        min_sqnr_db=min_sqnr,
        max_drop=max_drop,
    )
    chosen = VerifyOptions(data, max_images, weights, tolerance, SessionOptions(threads, device))
    proof = verify_bundle(loaded, chosen, TerminalProgress())
    record = summarize(loaded, proof)
    print_summaries([record])
    if per_layer:
        record["per_layer"] = show_layers(loaded, weights, reference)
    if json:
        print_json("dmformer.verify/1", record)
    return 0 if proof.passed else BELOW_TOLERANCE


def show_layers(bundle: Bundle, weights: Path | None, reference: Path | None) -> dict[str, Any]:
    """Prints the error of every tensor that can be tapped, and returns it for the JSON document."""
    from dmformer.cli.output import console, escaped, number, table
    from dmformer.evaluation.layers.parts import part_of
    from dmformer.evaluation.per_layer import by_part
    from dmformer.pipeline.layer_errors import errors_of

    found = errors_of(bundle, weights, reference)
    grid = table(f"Layer by layer against {escaped(found.reference)}", "tensor", "part", ">SQNR dB")
    for layer in found.layers:
        mark = "  [red]the error jumps here[/red]" if layer.node == found.jump else ""
        grid.add_row(escaped(layer.node), escaped(layer.part), number(layer.sqnr_db, "{:.1f}") + mark)
    console().print(grid)
    groups = table("The worst of each part", "part", ">SQNR dB")
    for part, worst in by_part(found.layers).items():
        groups.add_row(escaped(part), "equal" if worst is None else f"{worst:.1f}")
    console().print(groups)
    if found.jump is not None:
        console().print(f"The error first jumps at {escaped(found.jump)} ({escaped(part_of(found.jump))}).")
    else:
        console().print("The error grows evenly: it jumps nowhere.")
    return {
        "reference": found.reference,
        "jump": found.jump,
        "parts": by_part(found.layers),
        "layers": [vars(layer) for layer in found.layers],
    }
