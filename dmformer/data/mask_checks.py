"""Whether the masks of a set are those of a model: every one is read once, before anything else is done."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dmformer.data.arrays import ArrayDataset
from dmformer.data.dataset import IGNORED, Dataset
from dmformer.data.mask_folders import MaskedFolder
from dmformer.errors import DataError
from dmformer.texts import SHOWN


@dataclass
class MaskScan:
    """What was found in the masks of a set.

    Attributes:
        masks: How many could be read.
        unknown: How many of them are ignored as a whole.
        largest: The largest class; `IGNORED` where there is none.
        ignored: Whether any pixel is ignored.
        beyond: The masks with a class that the model has not, and their largest.
    """

    masks: int = 0
    unknown: int = 0
    largest: int = IGNORED
    ignored: bool = False
    beyond: dict[str, int] = field(default_factory=dict)


def scan_masks(dataset: MaskedFolder | ArrayDataset, classes: int) -> MaskScan:
    """Looks at every mask, one at a time; what cannot be read is left to whoever loads it.

    Args:
        dataset: The set.
        classes: How many there are: those from 0 on are the model's.
    """
    scan = MaskScan()
    for index in range(len(dataset)):
        try:
            mask = dataset.mask(index)
        except DataError:
            continue
        largest = int(mask.max())
        scan.masks += 1
        scan.unknown += largest == IGNORED
        scan.largest = max(scan.largest, largest)
        scan.ignored |= bool(np.any(mask == IGNORED))
        if largest >= classes:
            scan.beyond[dataset.mask_name(index)] = largest
    return scan


def check_masks(dataset: Dataset, classes: int) -> None:
    """Makes sure that what is right for a set are masks, and their values classes of the model.

    A set of which nothing is known passes; so do masks that no file holds.

    Args:
        dataset: The set.
        classes: Values that a mask may have, from 0; for a model of one class these are 2.

    Raises:
        DataError: Labels without masks, values beyond the classes, or nothing but ignored pixels.
    """
    if not isinstance(dataset, MaskedFolder | ArrayDataset) or (masked := _stored(dataset)) is None:
        if dataset.labels is not None:
            raise DataError(
                f"{dataset.name}: its images have classes, and masks are needed",
                "Give images with masks: folders images/ and masks/ with equal names, or an .npz with `masks`.",
            )
        return
    scan, zero = scan_masks(masked, classes), masked.options.reduce_zero_label
    if scan.beyond:
        shown = [f"{name} has {value + zero}" for name, value in list(scan.beyond.items())[:SHOWN]]
        raise DataError(
            f"{dataset.name}: values beyond the {classes} classes in {len(scan.beyond)} of {scan.masks} masks: "
            + ", ".join(shown),
            f"Values count from {int(zero)} to {classes - 1 + zero}, and {masked.options.ignore_index} counts nowhere: "
            "see --reduce-zero-label and --ignore-index.",
        )
    if scan.masks and scan.unknown == scan.masks:
        raise DataError(
            f"{dataset.name}: all pixels of all {scan.masks} masks are ignored",
            "Look at --ignore-index and --reduce-zero-label, or give masks with classes.",
        )
    if scan.largest == 0 and scan.ignored and classes == 2:
        raise DataError(
            f"{dataset.name}: its masks hold class {int(zero)} and ignored pixels alone, nothing of the other class",
            f"Where {masked.options.ignore_index} means the class, save the masks with 1 in its place.",
        )


def _stored(dataset: MaskedFolder | ArrayDataset) -> MaskedFolder | ArrayDataset | None:
    return None if isinstance(dataset, ArrayDataset) and dataset.all_masks is None else dataset
