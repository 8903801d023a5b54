"""What a set of images is to the rest of the project: `Dataset`, and the stream of batches read from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dmformer.errors import DataError, UsageError
from dmformer.preprocessing import Preprocessing, preprocess


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
    limit = max(3, len(chosen) // 100) if max_unreadable is None else max_unreadable
    # Not `log or ...`: an empty log is falsy, and it is the caller's.
    log = UnreadableLog() if log is None else log
    return _batches(_Reader(dataset, preprocessing, chosen, limit, log), batch_size)


def readable_indices(dataset: Dataset, log: UnreadableLog) -> Iterator[int]:
    """The indices of the images that can be decoded; the others are logged.

    Raises:
        DataError: More are unreadable than `iterate_batches` skips.
    """
    limit = max(3, len(dataset) // 100)
    for index in range(len(dataset)):
        try:
            dataset.load(index)
        except DataError as error:
            log.entries.append(Unreadable(dataset.sample_name(index), error.message))
            if len(log) > limit or len(log) == len(dataset):
                raise too_many(dataset, len(dataset), limit, log) from error
            continue
        yield index


@dataclass(frozen=True)
class _Reader:
    dataset: Dataset
    preprocessing: Preprocessing
    indices: Sequence[int]
    limit: int
    log: UnreadableLog

    def samples(self) -> Iterator[tuple[int, NDArray[np.float32], Sample]]:
        before = len(self.log)
        for index in self.indices:
            try:
                sample = self.dataset.load(index)
                tensor = preprocess(sample.image, self.preprocessing)
            except DataError as error:
                self.log.entries.append(Unreadable(self.dataset.sample_name(index), error.message))
                skipped = len(self.log) - before
                if skipped > self.limit or skipped == len(self.indices):
                    raise too_many(self.dataset, len(self.indices), self.limit, self.log) from error
                continue
            yield index, tensor, sample


def too_many(dataset: Dataset, asked: int, limit: int, log: UnreadableLog) -> DataError:
    """What is raised where more images are unreadable than may be skipped."""
    return DataError(
        f"{dataset.name}: {len(log)} of {asked} images cannot be read: {log.describe()}",
        f"Remove or replace the damaged images; up to {limit} would be skipped.",
    )


def _batches(reader: _Reader, batch_size: int) -> Iterator[Batch]:
    pending: list[tuple[int, NDArray[np.float32], Sample]] = []
    for item in reader.samples():
        pending.append(item)
        if len(pending) == batch_size:
            yield _collate(pending, labelled=reader.dataset.labelled)
            pending = []
    if pending:
        yield _collate(pending, labelled=reader.dataset.labelled)


def _collate(items: list[tuple[int, NDArray[np.float32], Sample]], *, labelled: bool) -> Batch:
    labels = [sample.label if sample.label is not None else -1 for _, _, sample in items]
    return Batch(
        tensor=np.stack([tensor for _, tensor, _ in items]),
        labels=np.array(labels, dtype=np.int64) if labelled else None,
        names=tuple(sample.name for _, _, sample in items),
        indices=tuple(index for index, _, _ in items),
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
