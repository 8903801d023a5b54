"""What a set of images is to the rest of the project: `Dataset`, and the stream of batches read from it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dmformer.errors import DataError, UsageError
from dmformer.fields import Palette
from dmformer.preprocessing import Preprocessing, preprocess

T = TypeVar("T")
IGNORED = -1
"""In a mask: a pixel whose class nobody knows. It counts nowhere."""


@dataclass(frozen=True)
class Sample:
    """One image.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        label: Index of its class, or None.
        name: Where it came from, to name it in messages.
        mask: The class of every pixel, int16 [H, W], `IGNORED` where nobody knows it; None where there is no mask.
    """

    image: NDArray[np.uint8]
    label: int | None
    name: str
    mask: NDArray[np.int16] | None = None


Loaded = tuple[NDArray[np.float32], Any]
"""The tensor of an image, and what is right for it."""


class Dataset(Protocol):
    """A fixed, ordered set of images; images are read when they are asked for.

    Attributes:
        name: Short name for reports.
        classes: Class names by label where the source has them (class folders), else None.
        palette: A colour, RGB of 0 to 255, for every class of its masks where the source has them, else None.
        labels: int64 [N], one label per image, or None.
        labelled: Whether what is right is known: ``labels``, or a mask of every image.
        notes: What was left aside or taken for granted when it was opened, one line each.
    """

    @property
    def name(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...] | None: ...

    @property
    def palette(self) -> Palette | None: ...

    @property
    def labels(self) -> NDArray[np.int64] | None: ...

    @property
    def labelled(self) -> bool: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def load(self, index: int) -> Sample:
        """Read one image. Raises DataError if it is unreadable."""
        ...

    def sample_name(self, index: int) -> str:
        """The name that `load` would give, without reading."""
        ...

    def select(self, indices: Sequence[int]) -> Dataset:
        """The images at ``indices``, in that order, as a dataset of their own."""
        ...

    def digest(self) -> str:
        """SHA-256 (hex) over names, stored bytes, labels and masks, streamed: the same digest, the same set."""
        ...

    def content_hashes(self) -> Iterator[str]:
        """`content_hash` of each image's decoded pixels, unreadable ones left out: for finding overlap."""
        ...


def content_hash(image: NDArray[np.uint8]) -> str:
    """SHA-256 (hex) of an image's shape and pixels, equal for equal pixels whatever file they came from.

    Args:
        image: uint8 [H, W, 3], as `Dataset.load` gives it.
    """
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def loaded_hashes(dataset: Dataset) -> Iterator[str]:
    """`Dataset.content_hashes` for any dataset, by loading its images one at a time."""
    for index in range(len(dataset)):
        try:
            yield content_hash(dataset.load(index).image)
        except DataError:
            continue


@dataclass(frozen=True)
class Unreadable:
    """An image that was skipped: its name and why."""

    name: str
    reason: str


@dataclass
class UnreadableLog:
    """Collects the images that `iterate_batches` skips; pass one in to see them at the end."""

    entries: list[Unreadable] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.entries)

    def describe(self, most: int = 5) -> str:
        """The first few, as one line: ``a.jpg (reason); b.jpg (reason); and 3 more``."""
        shown = [f"{entry.name} ({entry.reason})" for entry in self.entries[:most]]
        if len(self) > most:
            shown.append(f"and {len(self) - most} more")
        return "; ".join(shown)

    def summary(self) -> str:
        """That they were skipped, in one line for the user."""
        return f"skipped {len(self)} unreadable images: {self.describe()}"


@dataclass(frozen=True)
class Batch:
    """Some preprocessed images. The arrays are the receiver's; no buffer is used twice.

    Attributes:
        tensor: float32 [n, C, H, W].
        targets: What is right for each image, None where nobody asked or knows.
        indices: Index of each image in the dataset.
    """

    tensor: NDArray[np.float32]
    targets: tuple[Any, ...]
    indices: tuple[int, ...]


def iterate_batches(
    dataset: Dataset,
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    target: Callable[[Sample], Any] | None = None,
    log: UnreadableLog | None = None,
) -> Iterator[Batch]:
    """Stream a dataset as preprocessed batches, holding one batch in memory at a time.

    Unreadable images are skipped and the next one takes their place: only the last batch can be smaller. More than 3
    or 1 % of them, whichever is more, are too many.

    Args:
        dataset: Where the images come from.
        preprocessing: How they become tensors.
        batch_size: Images per batch, at least 1.
        target: Gives what is right for a sample; None leaves it out.
        log: Receives the skipped images.

    Raises:
        DataError: More images than allowed are unreadable, or all are. The message names the first ones.
        UsageError: ``batch_size`` is below 1.
    """
    if batch_size < 1:
        raise UsageError(f"batch size {batch_size} is not possible", "Give a batch size of at least 1.")

    def load(index: int) -> Loaded:
        sample = dataset.load(index)
        return preprocess(sample.image, preprocessing), target(sample) if target is not None else None

    # Not `log or ...`: an empty log is falsy, and it is the caller's.
    return _batches(_readable(dataset, load, UnreadableLog() if log is None else log), batch_size)


def readable_samples(dataset: Dataset, log: UnreadableLog) -> Iterator[tuple[int, Sample]]:
    """The images that can be decoded behind their indices, one at a time; the others are logged.

    Raises:
        DataError: More are unreadable than `iterate_batches` skips.
    """
    return _readable(dataset, dataset.load, log)


def _readable(dataset: Dataset, load: Callable[[int], T], log: UnreadableLog) -> Iterator[tuple[int, T]]:
    """What is loaded of the images that can be read, each behind its index; see `iterate_batches`."""
    total, before = len(dataset), len(log)
    limit = max(3, total // 100)
    for index in range(total):
        try:
            loaded = load(index)
        except DataError as error:
            log.entries.append(Unreadable(dataset.sample_name(index), error.message))
            skipped = len(log) - before
            if skipped > limit or skipped == total:
                raise DataError(
                    f"{dataset.name}: {skipped} of {total} images cannot be read: {log.describe()}",
                    f"Remove or replace the damaged images; up to {limit} would be skipped.",
                ) from error
            continue
        yield index, loaded


def _batches(images: Iterator[tuple[int, Loaded]], batch_size: int) -> Iterator[Batch]:
    while chunk := list(islice(images, batch_size)):
        yield Batch(
            tensor=np.stack([tensor for _, (tensor, _) in chunk]),
            targets=tuple(target for _, (_, target) in chunk),
            indices=tuple(index for index, _ in chunk),
        )


def evenly(total: int, count: int) -> list[int]:
    """The numbers of ``count`` of ``total`` things in order, evenly spread."""
    return [position * total // count for position in range(count)]


def subset(dataset: Dataset, count: int, seed: int | None = None) -> Dataset:
    """Choose ``count`` images, always the same ones; all of them where there are no more.

    Args:
        dataset: What to choose from.
        count: How many, at least 1.
        seed: None spreads the choice evenly over the order (which spreads it over class folders too); a number
            draws without replacement, and keeps the order.

    Raises:
        UsageError: ``count`` is below 1.
    """
    if count < 1:
        raise UsageError(f"{count} images cannot be chosen", "Ask for at least 1 image.")
    total = len(dataset)
    if count >= total:
        return dataset
    if seed is None:
        return dataset.select(evenly(total, count))
    drawn = np.random.default_rng(seed).choice(total, count, replace=False)
    return dataset.select(sorted(int(index) for index in drawn))
