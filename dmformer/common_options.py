"""Options that several requests share, declared once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from dmformer.options import Option
from dmformer.signatures import Plain

IMAGES = "Images"
"""Panel of the help."""

Bundled = Annotated[Path, Option("bundle", "A bundle: the directory that export made.")]
Data = Annotated[
    Path | None,
    Option(
        "--data",
        "Labelled images to verify on: a folder with class subfolders, a flat folder, .npz, or an IDX file; with "
        "masks, ADE20K, Cityscapes, Pascal VOC, a folder with images/ and masks/, or .npz. "
        "Default: the embedded test set, where the embedded checkpoint is used.",
        IMAGES,
    ),
]
MaxImages = Annotated[int | None, Option("--max-images", "Verify on at most this many images.", IMAGES, min=1)]
Threads = Annotated[int, Option("--threads", "Threads inside an inference; 0: the runtime's choice.", min=0, max=1024)]
Device = Annotated[str, Option("--device", "Device to run on.")]
Tile = Annotated[
    float | None,
    Option(
        "--tile",
        "Show pictures in windows of the engine's size that overlap by this part of a side (0.33), scores averaged.",
        min=0,
        max=0.9,
    ),
]
ForceFile = Annotated[bool, Option("--force", "Replace a file that exists, though dmformer did not make it.")]


@dataclass(frozen=True)
class MaskOptions:
    """What the values of masks mean, where images have them.

    Attributes:
        reduce_zero_label: 0 means that nobody knows the class, and the classes count from 1: ADE20K.
        ignore_index: The stored value of pixels that count nowhere.

    Examples:
        >>> import dmformer
        >>> dmformer.ExportOptions(masks=dmformer.MaskOptions(reduce_zero_label=True))
        ExportOptions(masks.reduce_zero_label=True)
    """

    __signature__ = Plain()

    reduce_zero_label: Annotated[
        bool, Option("--reduce-zero-label", "In masks 0 counts nowhere and classes begin with 1 (ADE20K).", IMAGES)
    ] = False
    ignore_index: Annotated[
        int, Option("--ignore-index", "Value in masks of pixels that count nowhere.", IMAGES, min=-1, max=65535)
    ] = 255


MASKS = MaskOptions()
"""Masks as most sets have them."""
