"""What a set of images is to the rest of the project: `Dataset`, and the stream of batches read from it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dmformer.errors import DataError, UsageError
from dmformer.preprocessing import Preprocessing, preprocess

T = TypeVar("T")


@dataclass(frozen=True)
class Sample:
    """One image.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        label: Index of its class, or None.
        name: Where it came from, to name it in messages.
    """

    image: NDArray[np.uint8]
    label: int | None
    name: str


Item = tuple[int, tuple[NDArray[np.float32], Sample]]
"""The index of an image, its tensor and what it was made of."""


class Dataset(Protocol):
    """A fixed, ordered set of images; images are read when they are asked for.

    Attributes:
        name: Short name for reports.
        classes: Class names by label where the source has them (class folders), else None.
        labels: int64 [N], one label per image, or None.
        labelled: Whether ``labels`` is there.
        notes: What was left aside or taken for granted when it was opened, one line each.
    """

    @property
    def name(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...] | None: ...

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
        """SHA-256 (hex) over names, stored bytes and labels, streamed: the same digest, the same set."""
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
        labels: int64 [n], or None if the dataset has no labels.
        names: Name of each image.
        indices: Index of each image in the dataset.
    """

    tensor: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    names: tuple[str, ...]
    indices: tuple[int, ...]


def iterate_batches(
    dataset: Dataset,
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    indices: Sequence[int] | None = None,
    max_unreadable: int | None = None,
    log: UnreadableLog | None = None,
) -> Iterator[Batch]:
    """Stream a dataset as preprocessed batches, holding one batch in memory at a time.

    Unreadable images are skipped and the next one takes their place: only the last batch can be smaller.

    Args:
        dataset: Where the images come from.
        preprocessing: How they become tensors.
        batch_size: Images per batch, at least 1.
        indices: Which images, in which order; None for all in order.
        max_unreadable: How many may be skipped; None means 3 or 1 % of the images, whichever is more.
        log: Receives the skipped images.

    Raises:
        DataError: More images than allowed are unreadable, or all are. The message names the first ones.
        UsageError: ``batch_size`` is below 1.
    """
    if batch_size < 1:
        raise UsageError(f"batch size {batch_size} is not possible", "Give a batch size of at least 1.")
    chosen = range(len(dataset)) if indices is None else indices

    def load(index: int) -> tuple[NDArray[np.float32], Sample]:
        sample = dataset.load(index)
        return preprocess(sample.image, preprocessing), sample

    # Not `log or ...`: an empty log is falsy, and it is the caller's.
    log = UnreadableLog() if log is None else log
    return _batches(_readable(dataset, chosen, load, log, max_unreadable), batch_size, labelled=dataset.labelled)


def readable_indices(dataset: Dataset, log: UnreadableLog) -> Iterator[int]:
    """The indices of the images that can be decoded; the others are logged.

    Raises:
        DataError: More are unreadable than `iterate_batches` skips.
    """
    return (index for index, _ in _readable(dataset, range(len(dataset)), dataset.load, log))


def _readable(
    dataset: Dataset,
    indices: Sequence[int],
    load: Callable[[int], T],
    log: UnreadableLog,
    max_unreadable: int | None = None,
) -> Iterator[tuple[int, T]]:
    """What is loaded of the images that can be read, each behind its index; see `iterate_batches`."""
    limit = max(3, len(indices) // 100) if max_unreadable is None else max_unreadable
    before = len(log)
    for index in indices:
        try:
            loaded = load(index)
        except DataError as error:
            log.entries.append(Unreadable(dataset.sample_name(index), error.message))
            skipped = len(log) - before
            if skipped > limit or skipped == len(indices):
                raise DataError(
                    f"{dataset.name}: {skipped} of {len(indices)} images cannot be read: {log.describe()}",
                    f"Remove or replace the damaged images; up to {limit} would be skipped.",
                ) from error
            continue
        yield index, loaded


def _batches(items: Iterator[Item], batch_size: int, *, labelled: bool) -> Iterator[Batch]:
    pending: list[Item] = []
    for item in items:
        pending.append(item)
        if len(pending) == batch_size:
            yield _collate(pending, labelled=labelled)
            pending = []
    if pending:
        yield _collate(pending, labelled=labelled)


def _collate(items: list[Item], *, labelled: bool) -> Batch:
    labels = [sample.label if sample.label is not None else -1 for _, (_, sample) in items]
    return Batch(
        tensor=np.stack([tensor for _, (tensor, _) in items]),
        labels=np.array(labels, dtype=np.int64) if labelled else None,
        names=tuple(sample.name for _, (_, sample) in items),
        indices=tuple(index for index, _ in items),
    )


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
        return dataset.select([position * total // count for position in range(count)])
    drawn = np.random.default_rng(seed).choice(total, count, replace=False)
    return dataset.select(sorted(int(index) for index in drawn))
