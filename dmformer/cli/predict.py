"""``dmformer predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dmformer.cli import options
from dmformer.errors import UsageError

if TYPE_CHECKING:
    from dmformer.evaluation.predict import Guess

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
    from dmformer.evaluation.classifier import Classifier

    with Classifier(bundle or only_bundle(Path("build")), threads=threads, device=device) as classifier:
        guesses = classifier.predict(images, top_k)
    if json:
        print_json(
            "dmformer.predict/1",
            {
                "bundle": str(classifier.bundle.path),
                "executes": classifier.execution.precision,
                "images": [
                    {"path": str(path), "classes": [vars(guess) for guess in best]}
                    for path, best in zip(images, guesses, strict=True)
                ],
            },
        )
    else:
        show(images, guesses)
        target, precision = classifier.bundle.manifest.target, classifier.execution.precision
        TerminalProgress().say(f"{target} executes {precision} here")
    return 0


def show(images: list[Path], guesses: list[tuple[Guess, ...]]) -> None:
    """The answers on stdout, an image a block."""
    from dmformer.cli.output import printable

    for path, best in zip(images, guesses, strict=True):
        typer.echo(printable(str(path)))
        for guess in best:
            typer.echo(f"  {guess.probability:7.2%}  {printable(guess.label)}")


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
