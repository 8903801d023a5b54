"""The door to this room: `open_dataset` finds out what is at a path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dmformer.common_options import MASKS, MaskOptions
from dmformer.data.arrays import open_npz
from dmformer.data.dataset import Dataset
from dmformer.data.folders import open_folder, open_images
from dmformer.data.idx import is_images_name, open_idx
from dmformer.data.mask_folders import images_folder, open_masked
from dmformer.errors import DataError

ACCEPTED_FORMS = (
    "Accepted are: a folder of images, flat or with one subfolder per class; images and masks in folders side by side "
    "(ADE20K, Cityscapes, Pascal VOC, images/ and masks/); an .npz with uint8 images; an IDX images file (MNIST, .gz "
    "too) or a folder with one."
)

_ZIP_MAGIC = b"PK"
_GZIP_MAGIC = b"\x1f\x8b"
_IDX_MAGIC = b"\0\0\x08"


def open_dataset(path: Path | str, labels: Sequence[str] | None = None, masks: MaskOptions = MASKS) -> Dataset:
    """Open a set of images, whatever form it has; what a file holds counts, not its name.

    Args:
        path: An image folder, one with images and masks side by side or a part of its images, an ``.npz`` file, an IDX
            images file or a folder with exactly one of those.
        labels: The model's class names by index, if it has them: class folders are matched to them.
        masks: What the values of masks mean.

    Raises:
        DataError: Nothing is there, the form is none of these, or the content is damaged.
    """
    return _open(Path(path), lambda folder: open_masked(folder, masks, labels) or open_folder(folder, labels), masks)


def open_unlabelled(path: Path | str) -> Dataset:
    """Open a set of which only the images matter: of a folder, all images in it, however they lie, but no masks.

    Raises:
        DataError: As `open_dataset` does, but for what concerns classes.
    """
    return _open(Path(path), lambda folder: open_images(images_folder(folder) or folder), MASKS)


def _open(path: Path, open_directory: Callable[[Path], Dataset], masks: MaskOptions) -> Dataset:
    try:
        if path.is_dir():
            return _open_directory(path, open_directory)
        if path.is_file():
            return _open_file(path, masks)
        problem = "not a file or folder" if path.exists() else "no such file or folder"
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be opened: {error}", ACCEPTED_FORMS) from error
    raise DataError(f"{path}: {problem}", ACCEPTED_FORMS)


def _open_directory(path: Path, open_directory: Callable[[Path], Dataset]) -> Dataset:
    files = sorted(entry for entry in path.iterdir() if is_images_name(entry.name) and entry.is_file())
    if len(files) > 1:
        names = ", ".join(entry.name for entry in files)
        raise DataError(f"{path}: holds several IDX images files: {names}", "Give the path of the one to use.")
    return open_idx(files[0]) if files else open_directory(path)


def _open_file(path: Path, masks: MaskOptions) -> Dataset:
    with path.open("rb") as file:
        magic = file.read(3)
    if magic.startswith(_ZIP_MAGIC):
        return open_npz(path, options=masks)
    if magic.startswith((_GZIP_MAGIC, _IDX_MAGIC)):
        return open_idx(path)
    raise DataError(f"{path}: not a set of images that is known", ACCEPTED_FORMS)
