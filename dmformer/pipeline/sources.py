"""Weights and images to work with: what the user gave, or what is embedded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dmformer import assets
from dmformer.bundle import Bundle, sha256_of
from dmformer.common_options import MASKS, MaskOptions
from dmformer.data.dataset import Dataset, subset
from dmformer.data.open import open_dataset
from dmformer.texts import is_plain, listed

if TYPE_CHECKING:
    from dmformer.model.checkpoint import Checkpoint


@dataclass(frozen=True)
class Sources:
    """What an export starts from.

    Attributes:
        checkpoint: The weights, with the preprocessing for the size that was asked for.
        samples: Real images for the golden samples.
        dataset: Labelled images to verify on, or None.
        embedded: Whether these are the embedded weights.
        notes: What was chosen where the user left it open, one line each.
    """

    checkpoint: Checkpoint
    samples: Dataset
    dataset: Dataset | None
    embedded: bool
    notes: tuple[str, ...]


def open_sources(
    weights: Checkpoint | Path | str | None,
    size: tuple[int, int] | None,
    data: Path | None,
    max_images: int | None,
    masks: MaskOptions = MASKS,
) -> Sources:
    """Resolves weights and images.

    Args:
        weights: A checkpoint, its path, or None for the embedded one.
        size: Height and width of the input; None keeps the checkpoint's.
        data: Images to verify on; None takes the embedded test set where the embedded checkpoint is used.
        max_images: Keep at most this many, spread evenly.
        masks: What the values of masks mean.

    Raises:
        CheckpointError: The weights cannot be used.
        DataError: The images cannot be used, or their classes are not the model's.
    """
    checkpoint = resolve_checkpoint(weights)
    if size is not None:
        checkpoint = checkpoint.with_preprocessing(checkpoint.preprocessing.resized_to(size), ("size",))
    notes = list(checkpoint.notes)
    embedded = weights is None
    if embedded:
        notes.append("no weights given: using the embedded tiny DMFormer, trained on Fashion-MNIST")
    dataset, said = resolve_dataset(checkpoint, data, embedded, masks)
    if named := names_of_folders(checkpoint, dataset):
        checkpoint = replace(checkpoint, labels=named)
        notes.append(f"the classes' names are those of the folders of {data}, in sorted order: {listed(named)}")
    notes += [*([said] if said else []), *(dataset.notes if dataset is not None else ())]
    if dataset is not None and max_images is not None and max_images < len(dataset):
        dataset = subset(dataset, max_images)
        notes.append(f"verifying on {max_images} images, spread evenly over the set")
    samples = dataset
    if samples is None:
        samples = open_dataset(assets.test_images())
        notes.append(
            "no data given: the golden samples are pictures of another kind (Fashion-MNIST), without their labels"
        )
    elif not samples.labelled:
        notes.append(f"{samples.name} has no labels: golden samples are taken from it")
    labelled = dataset if dataset is not None and dataset.labelled else None
    return Sources(checkpoint, samples, labelled, embedded, tuple(notes))


def resolve_checkpoint(weights: Checkpoint | Path | str | None) -> Checkpoint:
    """The checkpoint itself, read from its path, or the embedded one for None."""
    from dmformer.model.checkpoint import Checkpoint, load_checkpoint

    if isinstance(weights, Checkpoint):
        return weights
    return load_checkpoint(weights)


def resolve_dataset(
    checkpoint: Checkpoint, data: Path | None, embedded: bool, masks: MaskOptions = MASKS
) -> tuple[Dataset | None, str | None]:
    """The images to verify on, checked against the model's classes, and a note where they were not named."""
    if data is None and not embedded:
        return None, None
    dataset = open_dataset(data or assets.test_images(), checkpoint.labels, masks)
    checkpoint.config.task.check(dataset)
    if data is not None:
        return dataset, None
    return dataset, f"no data given: the embedded Fashion-MNIST test set serves ({len(dataset)} images)"


def names_of_folders(checkpoint: Checkpoint, dataset: Dataset | None) -> tuple[str, ...] | None:
    """The names of a set's class folders, where the weights name none and there are as many; else None."""
    names = dataset.classes if dataset is not None and checkpoint.labels is None else None
    return names if names and len(names) == checkpoint.config.classes and all(map(is_plain, names)) else None


def is_of_embedded_checkpoint(bundle: Bundle) -> bool:
    """Whether a bundle was made from the checkpoint that this package embeds."""
    return is_embedded(bundle.manifest.source.sha256)


def is_embedded(digest: str) -> bool:
    """Whether this is the SHA-256 of the checkpoint that this package embeds."""
    return assets.installed() and digest == sha256_of(assets.checkpoint())
