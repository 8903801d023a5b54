"""``dmformer predict``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from dmformer.cli.declare import Command
from dmformer.cli.on import Travels
from dmformer.pipeline.requests import PredictOptions

if TYPE_CHECKING:
    from dmformer.pipeline.predicting import PredictDocument


def show(document: PredictDocument) -> None:
    """The answers on stdout, an image a block."""
    from dmformer.terminal import Shown
    from dmformer.texts import printable

    for image in document.images:
        typer.echo(printable(image.path))
        for line in image.lines:
            typer.echo(f"  {printable(line)}")
        if image.overlay is not None:
            typer.echo(f"  drawn in {printable(image.overlay)}")
    Shown().say(f"{document.target} executes {document.executes} here")


PREDICT = Command(
    "predict",
    PredictOptions,
    "dmformer.pipeline.predicting:predict",
    show,
    "Answer images with a bundle: the most likely classes, or of a segmenter the class of every pixel.",
    (
        ("dmformer predict build/best-openvino-fp16 cat.jpg", "the most likely classes"),
        ("dmformer predict BUNDLE *.png -k 3", "three for each image"),
        ("dmformer predict BUNDLE street.jpg --overlay street.png", "of a segmenter, drawn"),
    ),
    talks=False,
    travels=Travels(made=("overlay",), prepare="dmformer.pipeline.predicting:for_device"),
)
