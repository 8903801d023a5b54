"""From the options that describe weights to a checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dmformer.errors import UsageError
from dmformer.model.hub import HubReference
from dmformer.pipeline.option_groups import PreprocessingOptions, Size, non_defaults
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.weights_options import WeightsOptions
from dmformer.progress import Progress
from dmformer.tasks.registry import FIRST_TASK, get_task

if TYPE_CHECKING:
    from dmformer.model.checkpoint import Checkpoint
    from dmformer.model.config import ModelConfig


def weights_for(
    weights: Checkpoint | Path | str | None, options: ExportOptions, progress: Progress
) -> tuple[Checkpoint | None, ExportOptions]:
    """The checkpoint that a call or its options name, None for the embedded one, and the options that name it.

    Args:
        weights: A checkpoint, or the path of one; None leaves it to the options.
        options: Describe a file or random weights, and how training prepared images.
        progress: Told when they are fetched.

    Raises:
        UsageError: The options contradict each other, or there is no weights file that they could describe.
        CheckpointError: The file cannot be used.
    """
    if isinstance(weights, str | Path):
        options = replace(options, weights=replace(options.weights, path=Path(weights)))
        weights = None
    if options.weights.path is not None and (reference := HubReference.parse(options.weights.path)):
        progress.say(f"fetching {reference}, as far as it is not in the cache")
    checkpoint = weights or choose_weights(options.weights)
    if checkpoint is not None:
        if checkpoint.origin and options.weights.path is not None:
            # What is written down with a bundle means the same when the branch has gone on.
            options = replace(options, weights=replace(options.weights, path=Path(checkpoint.origin)))
        checkpoint = for_task(checkpoint, options.weights.task)
    return with_preprocessing(checkpoint, options.preprocessing, options.size), options


def choose_weights(options: WeightsOptions) -> Checkpoint | None:
    """The checkpoint that the options describe, or None for the embedded one.

    Raises:
        UsageError: The options contradict each other.
        CheckpointError: The file cannot be used.
    """
    if options.random_weights != (options.preset is not None):
        raise UsageError("--preset and --random-weights go together", "for example: --preset small --random-weights")
    if options.preset is not None:
        if options.path is not None:
            raise UsageError("--random-weights excludes a weights file", "leave one of them out")
        from dmformer.model.random_weights import random_checkpoint

        return random_checkpoint(preset_config(options.preset, options), name=f"dmformer-{options.preset}")
    if options.head is not None:
        raise UsageError("--head describes a preset, and none was given", "give --preset NAME --random-weights too")
    if options.path is None:
        if options.labels or options.dilation or options.names or options.key:
            words = "--labels, --dilation, --names and --weights-key"
            raise UsageError(f"{words} describe a weights file, and none was given", "name the file")
        return None
    from dmformer.model.checkpoint import load_checkpoint

    return load_checkpoint(
        options.path,
        labels=options.labels,
        dilations=options.dilation or None,
        names=options.names,
        key=options.key,
    )


def preset_config(name: str, options: WeightsOptions) -> ModelConfig:
    """The configuration of a preset with the head that the options name.

    Raises:
        UsageError: There is no such preset, task or head.
    """
    from dmformer.model.config import preset

    usual = get_task(options.task or FIRST_TASK).heads[0].model_fields["kind"].default
    return preset(name, head=options.head or usual)


def for_task(checkpoint: Checkpoint, task: str | None) -> Checkpoint:
    """The weights for the task that was asked for, without their head where it has no use for one.

    Raises:
        UsageError: They are for another task.
    """
    if task is None or isinstance(checkpoint.config.head, get_task(task).heads):
        return checkpoint
    if not any(head.has_weights for head in get_task(task).heads):
        return checkpoint.headless()
    own = checkpoint.config.task.name
    raise UsageError(
        f"{checkpoint.name}: its head is {checkpoint.config.head.kind}, which is for {own}, not for {task}",
        f"leave out --task, or give weights for {task}",
    )


def with_preprocessing(
    checkpoint: Checkpoint | None, options: PreprocessingOptions, size: Size | None = None
) -> Checkpoint | None:
    """The checkpoint with the preprocessing that the options ask for.

    Args:
        checkpoint: What `choose_weights` gave.
        options: What is None leaves the checkpoint's.
        size: Height and width that were asked for: the options are meant for this size, and what the checkpoint
            itself says is scaled to it.

    Raises:
        UsageError: A value is not possible, or there is no weights file that it could describe.
    """
    wanted = non_defaults(options)
    if not wanted:
        return checkpoint
    if checkpoint is None:
        raise UsageError("preprocessing options describe a weights file, and none was given", "name the file")
    from pydantic import ValidationError

    from dmformer.preprocessing import Preprocessing
    from dmformer.texts import first_problem

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
