"""``dmformer bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from dmformer.cli import options

if TYPE_CHECKING:
    from dmformer.evaluation.latency.document import Document
    from dmformer.evaluation.latency.settings import Boundary

FAMILY = "dmformer.bench/"
EXAMPLES = (
    ("dmformer bench build/*", "every bundle against PyTorch, side by side"),
    ("dmformer bench BUNDLE --against none --threads 1", "on a device without torch"),
    ("dmformer bench BUNDLE --streams 4 --duration 10", "throughput"),
    ("dmformer bench BUNDLE --boundary file --image street.jpg --fps 30", "a camera, from file to answer"),
    ("dmformer bench build/* -o bench.json && dmformer report report.html bench.json", "a page for the customer"),
)


def bench(  # noqa: PLR0913 - one parameter for each option
    context: typer.Context,
    bundles: Annotated[
        list[Path], typer.Argument(help="Bundles: the directories that export made.", show_default=False)
    ],
    against: Annotated[
        str,
        typer.Option("--against", help="The reference: pytorch, pytorch-compile or none. auto: pytorch if installed."),
    ] = "auto",
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            help="The bundles' weights, for PyTorch. Default: the embedded, or random ones.",
            show_default=False,
        ),
    ] = None,
    duration: Annotated[float, typer.Option("--duration", min=0.05, help="Measured seconds for each candidate.")] = 3.0,
    iterations: Annotated[
        int, typer.Option("--iterations", min=0, help="Measured calls at least; whichever takes longer.")
    ] = 0,
    launches: Annotated[
        int, typer.Option("--launches", min=1, max=30, help="Start every candidate so often anew.")
    ] = 5,
    warmup: Annotated[
        float, typer.Option("--warmup", min=0, help="Longest warm-up of a launch, seconds; ends when stable.")
    ] = 3.0,
    batch: Annotated[
        list[int] | None,
        typer.Option(
            "--batch", min=1, help="Images in a call; may be given several times.", show_default="the bundle's"
        ),
    ] = None,
    threads: options.Threads = 0,
    streams: Annotated[int, typer.Option("--streams", min=1, max=256, help="Inferences at the same time.")] = 1,
    fps: Annotated[
        float | None,
        typer.Option(
            "--fps", min=0.1, max=1000, help="A camera's frames a second, idle in between.", show_default=False
        ),
    ] = None,
    boundary: Annotated[
        str, typer.Option("--boundary", help="What is timed: engine, preprocess (and engine), file (to answer).")
    ] = "engine",
    image: Annotated[
        Path | None,
        typer.Option("--image", help="An image file to feed. Default: the golden samples.", show_default=False),
    ] = None,
    device: options.Device = "cpu",
    seed: Annotated[int, typer.Option("--seed", help="Of the order in which candidates take their turns.")] = 0,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers/--no-layers", help="Ask the runtimes where the time goes, and measure this machine's peaks."
        ),
    ] = True,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Also write the JSON document to this file.", show_default=False),
    ] = None,
    force: options.ForceFile = False,
    json: options.Json = False,
) -> int:
    """Measure bundles side by side, each in a process of its own, against PyTorch.

    Candidates take turns in short slices, so that what disturbs the machine hits all alike. p90 is given from 64
    samples up, p99 from 662, as MLPerf does. Intervals are at 99 % confidence.
    """
    import sys

    from dmformer.bundle import Bundle
    from dmformer.cli.output import TerminalProgress
    from dmformer.evaluation.latency.bench import bench as measure
    from dmformer.evaluation.latency.candidates import bundles_among, runnable
    from dmformer.evaluation.latency.settings import Settings
    from dmformer.files import check_output, document_of
    from dmformer.pipeline.measurement import choose_candidates
    from dmformer.preprocessing import load_image

    if against == "none":
        options.refuse_without(context, "--against pytorch", "weights")
    if output is not None:
        check_output(output, document_of(FAMILY), force, [*bundles, *filter(None, (weights, image))])
    progress = TerminalProgress()
    settings = Settings(
        duration_s=duration,
        iterations=iterations,
        launches=launches,
        warmup_s=warmup,
        threads=threads,
        streams=streams,
        fps=fps,
        boundary=cast("Boundary", boundary),  # Settings refuses any other
        image=str(image) if image else None,
        device=device,
        seed=seed,
    )
    if image is not None:
        load_image(image)
    paths, strangers = bundles_among(bundles)
    loaded, left_out = runnable([Bundle.load(path) for path in paths])
    candidates = choose_candidates(loaded, against, weights, batch or [], progress)
    document = measure(
        candidates, {str(b.path): b for b in loaded}, settings, command_line(sys.argv[1:]), layers, progress
    )
    document = document.model_copy(update={"notes": (*strangers, *left_out, *document.notes)})
    deliver(document, output, force, json)
    return 0


def deliver(document: Document, output: Path | None, force: bool, json: bool) -> None:
    """Shows a measurement before it is written, so that a place that cannot be written loses nothing."""
    import sys

    from dmformer.cli.bench_tables import show
    from dmformer.files import document_of, write_output

    show(document)
    if json:
        sys.stdout.write(document.to_json())
    if output is not None:
        write_output(output, document.to_json().encode(), document_of(FAMILY), force)


def command_line(arguments: list[str]) -> str:
    """What was typed, fit for a report: paths by their names alone."""
    import shlex

    kept = [Path(word).name if not word.startswith("-") and "/" in word else word for word in arguments]
    return shlex.join(["dmformer", *kept])
