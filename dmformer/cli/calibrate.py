"""``dmformer calibrate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmformer.cli.declare import Command
from dmformer.pipeline.requests import CalibrateOptions

if TYPE_CHECKING:
    from dmformer.pipeline.studies import CalibrateDocument


def show(document: CalibrateDocument) -> None:
    """What was written, and where."""
    from dmformer.cli.output import console, escaped

    facts = f"{document.ranges} ranges and {document.channel_scales} channel scales from {document.images} images"
    console().print(f"{escaped(facts)} -> [bold]{escaped(document.path)}[/bold]")


CALIBRATE = Command(
    "calibrate",
    CalibrateOptions,
    "dmformer.pipeline.studies:calibrate",
    show,
    "Measure the activation ranges of weights on images, and write them as a JSON file to review.",
    (
        ("dmformer calibrate best.pt --calibration photos/ -o ranges.json", "ranges as a file to review"),
        ("dmformer export best.pt --int8 --ranges ranges.json --calibration photos/", "and the export that uses it"),
    ),
)
