"""``dmformer predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dmformer.cli import options
from dmformer.errors import UsageError

EXAMPLES = (
    ("dmformer predict cat.jpg", "with the only bundle under build/"),
    ("dmformer predict *.png --bundle build/best-openvino-fp16 -k 3", "three classes for each image"),
)


def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files.", show_default=False)],
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", "-b", help="A bundle. Default: the only one under build/.", show_default=False),
    ] = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="Classes to show for each image.")] = 5,
    threads: options.Threads = 0,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> int:
    """Classify images with a bundle: the most likely classes with their labels and probabilities."""
    from dmformer.cli.output import TerminalProgress, print_json
    from dmformer.prediction.predictor import Predictor

    with Predictor(bundle or only_bundle(Path("build")), threads=threads, device=device) as predictor:
        answers = predictor.predict(images, top_k)
    task = predictor.task
    if json:
        print_json(
            "dmformer.predict/1",
            {
                "bundle": str(predictor.bundle.path),
                "executes": predictor.execution.precision,
                "images": [
                    {"path": str(path), **task.document(answer)} for path, answer in zip(images, answers, strict=True)
                ],
            },
        )
    else:
        show(images, [task.lines(answer) for answer in answers])
        target, precision = predictor.bundle.manifest.target, predictor.execution.precision
        TerminalProgress().say(f"{target} executes {precision} here")
    return 0


def show(images: list[Path], answers: list[list[str]]) -> None:
    """The answers on stdout, an image a block."""
    from dmformer.cli.output import printable

    for path, lines in zip(images, answers, strict=True):
        typer.echo(printable(str(path)))
        for line in lines:
            typer.echo(f"  {printable(line)}")


def only_bundle(folder: Path) -> Path:
    """The one bundle in a folder.

    Raises:
        UsageError: There is none, or there are several.
    """
    found = sorted(entry.parent for entry in folder.glob("*/manifest.json") if not entry.parent.name.startswith("."))
    whole = [path for path in found if not path.name.endswith(".rejected")]
    if not whole:
        raise UsageError(
            f"no bundle was named, and there is none under {folder}/", "run dmformer export, or give --bundle"
        )
    if len(whole) > 1:
        names = ", ".join(path.name for path in whole)
        raise UsageError(f"there are several bundles under {folder}/: {names}", "choose one with --bundle")
    return whole[0]
