"""From the options that describe weights to a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dmformer.cli import options
from dmformer.errors import UsageError

if TYPE_CHECKING:
    from dmformer.model.checkpoint import Checkpoint

PREPROCESSING = "Preprocessing, where the weights do not say it or say it wrong"


def _described(name: str, words: str) -> Any:
    return typer.Option(name, help=words, show_default=False, rich_help_panel=PREPROCESSING)


Mean = Annotated[str | None, _described("--mean", "Per channel, of 0..1, as 0.485,0.456,0.406.")]
Std = Annotated[str | None, _described("--std", "Per channel, of 0..1, as 0.229,0.224,0.225.")]
Resize = Annotated[str | None, _described("--resize", "exact, shorter or letterbox.")]
ResizeTo = Annotated[int | None, _described("--resize-to", "The shorter side before the centre crop.")]
Interpolation = Annotated[str | None, _described("--interpolation", "nearest, bilinear, bicubic or lanczos.")]
ChannelOrder = Annotated[str | None, _described("--channel-order", "rgb, bgr or grey.")]

Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        rich_help_panel=options.WEIGHTS,
        help="Class names: text, one per line, or a JSON list.",
        show_default=False,
    ),
]
Dilation = Annotated[
    list[int] | None,
    typer.Option(
        "--dilation",
        rich_help_panel=options.WEIGHTS,
        help="Dilation of each level, where the weights do not say.",
        show_default="1, 2, 3",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        rich_help_panel=options.WEIGHTS,
        help="tiny, small or large; with --random-weights.",
        show_default=False,
    ),
]
RandomWeights = Annotated[
    bool,
    typer.Option(
        "--random-weights", rich_help_panel=options.WEIGHTS, help="Seeded random weights, where only speed matters."
    ),
]


def choose_weights(
    weights: Path | None, preset: str | None, random_weights: bool, labels: Path | None, dilation: list[int] | None
) -> Checkpoint | None:
    """The checkpoint that the options describe, or None for the embedded one.

    Raises:
        UsageError: The options contradict each other.
        CheckpointError: The file cannot be used.
    """
    if random_weights != (preset is not None):
        raise UsageError("--preset and --random-weights go together", "for example: --preset small --random-weights")
    if preset is not None:
        if weights is not None:
            raise UsageError("--random-weights excludes a weights file", "leave one of them out")
        from dmformer.model.checkpoint import random_checkpoint

        return random_checkpoint(preset)
    if weights is None:
        if labels or dilation:
            raise UsageError("--labels and --dilation describe a weights file, and none was given", "name the file")
        return None
    from dmformer.model.checkpoint import load_checkpoint

    return load_checkpoint(weights, labels=labels, dilations=dilation)


def with_preprocessing(
    checkpoint: Checkpoint | None, size: tuple[int, int] | None = None, **given: Any
) -> Checkpoint | None:
    """The checkpoint with the preprocessing that the options ask for.

    Args:
        checkpoint: What `choose_weights` gave.
        size: Height and width that were asked for: the options are meant for this size, and what the checkpoint
            itself says is scaled to it.
        given: Fields of `Preprocessing`; None leaves the checkpoint's. Mean and std as text with commas.

    Raises:
        UsageError: A value is not possible, or there is no weights file that it could describe.
    """
    wanted = {name: value for name, value in given.items() if value is not None}
    if not wanted:
        return checkpoint
    if checkpoint is None:
        raise UsageError("preprocessing options describe a weights file, and none was given", "name the file")
    from pydantic import ValidationError

    from dmformer.preprocessing import Preprocessing
    from dmformer.texts import first_problem

    for name in ("mean", "std"):
        if name in wanted:
            wanted[name] = parse_floats(f"--{name}", wanted[name])
    assumed = checkpoint.assumed
    own = checkpoint.preprocessing if size is None else checkpoint.preprocessing.resized_to(size)
    if {own.channel_order, wanted.get("channel_order")} == {"rgb", "bgr"}:
        # What nobody gave is ImageNet's, which belongs to the colours and not to their places.
        own = own.model_copy(update={name: getattr(own, name)[::-1] for name in ("mean", "std") if name in assumed})
    if wanted.get("resize", own.resize) != "shorter":
        own = own.model_copy(update={"resize_to": None})  # It belonged to the checkpoint's own way of resizing.
    try:
        spec = Preprocessing.model_validate({**own.model_dump(), **wanted})
    except ValidationError as error:
        raise UsageError(f"preprocessing is not possible: {first_problem(error)}", "see --help") from error
    if spec.channels != checkpoint.config.in_channels:
        raise UsageError(
            f"preprocessing for {spec.channels} channels, but the network takes {checkpoint.config.in_channels}"
        )
    return checkpoint.with_preprocessing(spec, {*wanted, *(() if size is None else ("size",))})


def parse_floats(option: str, text: str) -> tuple[float, ...]:
    """Numbers with commas between them.

    Raises:
        UsageError: Something else.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"{option} {text!r} is not a list of numbers", f"for example: {option} 0.5,0.5,0.5") from error
