"""``dmformer verify``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dmformer.cli.declare import Command
from dmformer.cli.on import Travels
from dmformer.pipeline.requests import VerifyOptions

if TYPE_CHECKING:
    from dmformer.pipeline.verifying import PerLayer, VerifyDocument


def show(document: VerifyDocument) -> None:
    """The table of the bundle, and of its layers."""
    from dmformer.cli.output import print_summaries

    print_summaries([document.model_dump()])
    if document.per_layer is not None:
        show_layers(document.per_layer)


def show_devices(documents: Mapping[str, VerifyDocument]) -> None:
    """One table of all devices."""
    from dmformer.cli.output import print_summaries

    print_summaries([document.model_dump() for document in documents.values()], list(documents))


def show_layers(document: PerLayer) -> None:
    """The error of every tensor that can be tapped, and of each part."""
    from dmformer.cli.output import console, escaped, number, table
    from dmformer.evaluation.layers.parts import part_of

    grid = table(f"Layer by layer against {escaped(document.reference)}", "tensor", "part", ">SQNR dB")
    for layer in document.layers:
        mark = "  [red]the error jumps here[/red]" if layer["node"] == document.jump else ""
        grid.add_row(escaped(layer["node"]), escaped(layer["part"]), number(layer["sqnr_db"], "{:.1f}") + mark)
    console().print(grid)
    groups = table("The worst of each part", "part", ">SQNR dB")
    for part, worst in document.parts.items():
        groups.add_row(escaped(part), "equal" if worst is None else f"{worst:.1f}")
    console().print(groups)
    if document.jump is not None:
        console().print(f"The error first jumps at {escaped(document.jump)} ({escaped(part_of(document.jump))}).")
    else:
        console().print("The error grows evenly: it jumps nowhere.")


VERIFY = Command(
    "verify",
    VerifyOptions,
    "dmformer.pipeline.verifying:verify",
    show,
    """Check that a bundle is whole and that its engine answers like PyTorch on this machine.

    Needs neither torch nor the weights: the golden samples in the bundle carry PyTorch's answers.
    Exit code 0: within tolerance. 1: below it. 2: wrong input.
    """,
    (
        (
            "dmformer verify build/dmformer-tiny-fashion-mnist-openvino-fp32",
            "the golden samples, and the set it was made with",
        ),
        ("dmformer verify BUNDLE --data val/ --weights best.pt", "against PyTorch on your images"),
        ("dmformer verify BUNDLE --per-layer", "which layer group loses the accuracy"),
        ("dmformer verify BUNDLE --min-agreement 0.99 --json", "a gate for CI: exit code 1 below it"),
        ("dmformer verify BUNDLE --on user@board", "on another machine, over SSH"),
    ),
    travels=Travels(show=show_devices),
)
