"""Weights and images to work with: what the user gave, or what is embedded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dmformer import assets
from dmformer.assets import Demonstration
from dmformer.common_options import MASKS, MaskOptions
from dmformer.data.dataset import Dataset, subset
from dmformer.data.open import open_dataset
from dmformer.pipeline.weights import for_task
from dmformer.tasks.registry import FIRST_TASK, get_task
from dmformer.texts import is_plain, listed

if TYPE_CHECKING:
    from dmformer.model.checkpoint import Checkpoint


@dataclass(frozen=True)
class Sources:
    """What an export starts from.

    Attributes:
        checkpoint: The weights, with the preprocessing for the size that was asked for.
        samples: Real images for the golden samples.
        dataset: Images to verify on, or None.
        demonstration: What the weights are embedded with; None for the user's own.
        notes: What was chosen where the user left it open, one line each.
    """

    checkpoint: Checkpoint
    samples: Dataset
    dataset: Dataset | None
    demonstration: Demonstration | None
    notes: tuple[str, ...]


def open_sources(
    weights: Checkpoint | Path | str | None,
    size: tuple[int, int] | None,
    data: Path | None,
    max_images: int | None,
    masks: MaskOptions = MASKS,
    task: str | None = None,
) -> Sources:
    """Resolves weights and images.

    Args:
        weights: A checkpoint, its path, or None for the embedded one.
        size: Height and width of the input; None keeps the checkpoint's.
        data: Images to verify on; None takes the embedded test set where the embedded checkpoint is used.
        max_images: Keep at most this many, spread evenly.
        masks: What the values of masks mean.
        task: Whose embedded checkpoint is meant where no weights are given; None means the first task's.

    Raises:
        CheckpointError: The weights cannot be used.
        DataError: The images cannot be used, or their classes are not the model's.
    """
    shown = demonstration_for(task) if weights is None else None
    checkpoint = resolve_checkpoint(weights, task)
    if size is not None:
        checkpoint = checkpoint.with_preprocessing(checkpoint.preprocessing.resized_to(size), ("size",))
    notes = list(checkpoint.notes)
    if shown:
        notes.append(f"no weights given: using the embedded tiny DMFormer, trained on {shown.name}")
    dataset, said = resolve_dataset(checkpoint, data, shown, masks)
    checkpoint.config.task.check_input(checkpoint.preprocessing)
    colours = (dataset.palette or ())[: checkpoint.config.classes] if dataset is not None else ()
    if colours and len(colours) == checkpoint.config.classes:  # a file's palette has more
        checkpoint = replace(checkpoint, palette=checkpoint.palette or colours)
    if named := names_of_folders(checkpoint, dataset):
        checkpoint = replace(checkpoint, labels=named)
        notes.append(f"the classes' names are those of the folders of {data}, in sorted order: {listed(named)}")
    notes += [*([said] if said else []), *(dataset.notes if dataset is not None else ())]
    if dataset is not None and max_images is not None and max_images < len(dataset):
        dataset = subset(dataset, max_images)
        notes.append(f"verifying on {max_images} images, spread evenly over the set")
    samples = dataset
    if samples is None:
        other = demonstration_for(checkpoint.config.task.name)
        samples = other.test()
        notes.append(
            f"no data given: the golden samples are pictures of another kind ({other.name}), without their labels"
        )
    elif not samples.labelled:
        notes.append(f"{samples.name} has no labels: agreement with PyTorch is judged, not accuracy")
    return Sources(checkpoint, samples, dataset, shown, tuple(notes))


def resolve_checkpoint(weights: Checkpoint | Path | str | None, task: str | None = None) -> Checkpoint:
    """The checkpoint itself, read from its path, or for None the embedded one of a task, the first where None."""
    from dmformer.model.checkpoint import Checkpoint, load_checkpoint

    if isinstance(weights, Checkpoint):
        return weights
    if weights is not None:
        return load_checkpoint(weights)
    return for_task(load_checkpoint(demonstration_for(task).weights()), task)


def resolve_dataset(
    checkpoint: Checkpoint, data: Path | None, shown: Demonstration | None, masks: MaskOptions = MASKS
) -> tuple[Dataset | None, str | None]:
    """The images to verify on, checked against the model's classes, and a note where they were not named."""
    if data is not None:
        dataset = open_dataset(data, checkpoint.labels, masks)
        checkpoint.config.task.check(dataset)
        return dataset, None
    if shown is None:
        return None, None
    embedded = shown.test()
    return embedded, f"no data given: the embedded {shown.test_name} serves ({len(embedded)} images)"


def names_of_folders(checkpoint: Checkpoint, dataset: Dataset | None) -> tuple[str, ...] | None:
    """The names of a set's class folders, where the weights name none and there are as many; else None."""
    names = dataset.classes if dataset is not None and checkpoint.labels is None else None
    return names if names and len(names) == checkpoint.config.classes and all(map(is_plain, names)) else None


def demonstration_for(task: str | None) -> Demonstration:
    """What a task is shown with; what the first one is, where nobody names a task or nothing shows it."""
    shown = assets.demonstrations()
    first = get_task(FIRST_TASK).demonstration
    return shown[get_task(task or FIRST_TASK).demonstration or first]


def demonstration_of(digest: str) -> Demonstration | None:
    """What the embedded checkpoint of this SHA-256 is shown with; None where it is another's."""
    return next((shown for shown in assets.demonstrations().values() if shown.is_of(digest)), None)
