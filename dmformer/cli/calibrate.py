"""``dmformer calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dmformer.cli import int8, options
from dmformer.cli import weights as weights_options

EXAMPLES = (
    ("dmformer calibrate best.pt --calibration photos/ -o ranges.json", "ranges as a file to review"),
    ("dmformer export best.pt --int8 --ranges ranges.json --calibration photos/", "and the export that uses it"),
)


def calibrate(  # noqa: PLR0913 - one parameter for each option
    weights: Annotated[
        Path | None, typer.Argument(help="Trained weights. Default: the embedded checkpoint.", show_default=False)
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The ranges file to write.")] = Path("ranges.json"),
    calibration: int8.Calibration = None,
    images: int8.Images = 256,
    method: int8.MethodOption = "mse",
    allow_random: int8.AllowRandom = False,
    cache: int8.UseCache = True,
    imgsz: Annotated[
        list[int] | None, typer.Option("--imgsz", help="Input size.", show_default="the checkpoint's")
    ] = None,
    labels: weights_options.Labels = None,
    dilation: weights_options.Dilation = None,
    preset: weights_options.Preset = None,
    random_weights: weights_options.RandomWeights = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    json: options.Json = False,
) -> int:
    """Measure the activation ranges of weights on images, and write them as a JSON file to review."""
    from dmformer.cli.output import TerminalProgress, console, escaped, print_json
    from dmformer.files import check_output
    from dmformer.pipeline.options import ExportOptions
    from dmformer.pipeline.studies import write_ranges

    chosen = ExportOptions(
        size=options.parse_size(imgsz),
        force=force,
        int8=int8.int8_options(
            calibration=calibration, images=images, method=method, allow_random=allow_random, use_cache=cache
        ),
    )
    check_output(output, force=force, inputs=[given for given in (weights, calibration, labels) if given])
    source = weights_options.choose_weights(weights, preset, random_weights, labels, dilation)
    ranges = write_ranges(source, chosen, output, TerminalProgress())
    facts = f"{len(ranges.sites)} ranges and {len(ranges.scales)} channel scales from {ranges.count} images"
    console().print(f"{escaped(facts)} -> [bold]{escaped(str(output))}[/bold]")
    if json:
        print_json("dmformer.calibrate/1", {"path": str(output), "images": ranges.count, "method": ranges.method})
    return 0
