"""Calibration as a step of the road: which images, from the cache or measured, and what to tell the user."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dmformer.assets import Demonstration
from dmformer.calibration.cache import Cache, cache_key
from dmformer.calibration.collect import REVISION, CalibrationSet, calibrate, check_count
from dmformer.calibration.plan import load_plan
from dmformer.calibration.ranges import Ranges, graph_digest, load_ranges
from dmformer.data.dataset import Dataset, UnreadableLog, content_hash, iterate_batches, readable_samples, subset
from dmformer.data.open import open_unlabelled
from dmformer.errors import UsageError
from dmformer.files import user_cache
from dmformer.host import package_version
from dmformer.pipeline.option_groups import Size
from dmformer.pipeline.options import Int8Options
from dmformer.preprocessing import Preprocessing
from dmformer.progress import Progress, Silent
from dmformer.version import __version__

if TYPE_CHECKING:
    import onnx

READ_BATCH = 16
RANDOM_SEED = 0


@dataclass(frozen=True)
class Calibration:
    """What all INT8 engines of one export share.

    Attributes:
        ranges: Of the canonical graph.
        images: The calibration set.
        dataset: Its images, or None where they are random numbers.
    """

    ranges: Ranges
    images: CalibrationSet
    dataset: Dataset | None


def calibration_for(
    graph: onnx.ModelProto,
    preprocessing: Preprocessing,
    data: Dataset | None,
    shown: Demonstration | None,
    options: Int8Options,
    progress: Progress,
    sizes: tuple[Size, ...] = (),
) -> Calibration:
    """The ranges of a canonical graph: from a file, from the cache, or measured now.

    Args:
        graph: The canonical float32 graph.
        preprocessing: How images become its input.
        data: Images that the user gave for verification: calibrated on where no others are given.
        shown: What an embedded checkpoint is shown with, whose images fit; None for the user's own weights.
        options: What was asked for.
        progress: Watches, and is told where the images come from.
        sizes: Heights and widths to calibrate at besides the usual one: those of an input of open size.

    Raises:
        UsageError: There are no images to calibrate with.
        DataError: The images or the ranges file cannot be used.
    """
    dataset, images = calibration_set(preprocessing, data, shown, options, progress, sizes)
    if options.ranges is not None:
        ranges = load_ranges(options.ranges)
        ranges.check_model(graph, str(options.ranges))
        progress.say(f"ranges from {options.ranges}: {ranges.count} images, method {ranges.method}")
        return Calibration(ranges, images, dataset)
    return Calibration(cached_ranges(graph, images, options, progress), images, dataset)


def check_int8(data: Dataset | None, shown: Demonstration | None, options: Int8Options) -> None:
    """Looks at what INT8 needs before any long work. Arguments and errors are those of `calibration_for`."""
    source = calibration_source(data, shown, options, Silent())
    if source is not None:
        check_count(len(source), options.images, source.name)
    if options.ranges is not None:
        load_ranges(options.ranges)
    if options.plan is not None:
        load_plan(options.plan)


def calibration_set(
    preprocessing: Preprocessing,
    data: Dataset | None,
    shown: Demonstration | None,
    options: Int8Options,
    progress: Progress,
    sizes: tuple[Size, ...] = (),
) -> tuple[Dataset | None, CalibrationSet]:
    """The images to calibrate with. Arguments and errors are those of `calibration_for`."""
    source = calibration_source(data, shown, options, progress)
    if source is None:
        progress.say("calibrating on random numbers: the speed is real, the accuracy is not")
        return None, random_set(preprocessing, options.images)
    for note in check_count(len(source), options.images, source.name):
        progress.say(note)
    images = _readable_part(source, data, options.images, progress)
    return images, read_set(images, preprocessing, sizes)


def _readable_part(source: Dataset, data: Dataset | None, count: int, progress: Progress) -> Dataset:
    """Some images of a set, those that can be read."""
    # On images of --data the reference runs too, and names the damaged ones.
    return readable(subset(source, count), Silent() if source is data else progress)


def readable(dataset: Dataset, progress: Progress) -> Dataset:
    """The images of a set that can be read: each is decoded once, so that every later pass skips and counts alike.

    Raises:
        DataError: More than a few cannot be read.
    """
    log = UnreadableLog()
    indices = tuple(index for index, _ in readable_samples(dataset, log))
    if not log:
        return dataset
    progress.say(f"calibration: {log.summary()}")
    return dataset.select(indices)


def read_set(dataset: Dataset, preprocessing: Preprocessing, sizes: tuple[Size, ...] = ()) -> CalibrationSet:
    """All images of a dataset, read again in small batches at every pass.

    Args:
        dataset: The images.
        preprocessing: How they become tensors.
        sizes: Heights and widths besides the usual one: the images are shared out among them all in turn.
    """
    specs = (preprocessing, *map(preprocessing.resized_to, sizes))[: len(dataset)]
    parts = [(dataset.select(range(first, len(dataset), len(specs))), spec) for first, spec in enumerate(specs)]

    def batches() -> Iterator[NDArray[np.float32]]:
        streams = [iterate_batches(part, spec, READ_BATCH) for part, spec in parts]
        return (batch.tensor for batches in zip_longest(*streams) for batch in batches if batch is not None)

    digest = dataset.digest() if not sizes else hashlib.sha256(f"{dataset.digest()} {sizes}".encode()).hexdigest()
    return CalibrationSet(batches, digest, len(dataset), preprocessing)


def images_to_scan(
    preprocessing: Preprocessing,
    data: Dataset | None,
    shown: Demonstration | None,
    options: Int8Options,
    progress: Progress,
) -> CalibrationSet | None:
    """The images on which the range of values in half precision is looked at; None where none were given.

    They are those that INT8 would be calibrated with, but a small set is no fault: no scale depends on them.

    Raises:
        DataError: The calibration images cannot be used.
    """
    source = data
    if options.calibration is not None:
        source = open_unlabelled(options.calibration)
    elif shown is not None:
        source = shown.calibration()
    if source is None:
        return None
    return read_set(_readable_part(source, data, options.images, progress), preprocessing)


def calibration_source(
    data: Dataset | None, shown: Demonstration | None, options: Int8Options, progress: Progress
) -> Dataset | None:
    """The set that calibration images are taken from; None for random numbers."""
    if options.calibration is not None:
        source = open_unlabelled(options.calibration)
        for note in source.notes:
            progress.say(note)
        return source
    if shown is not None:
        progress.say(f"no calibration images given: using the embedded ones, from {shown.calibration_name}")
        return shown.calibration()
    if data is not None:
        progress.say("calibrating on images of --data; give --calibration to keep the two apart")
        return data
    if options.allow_random:
        return None
    raise UsageError(
        "INT8 needs images to calibrate with",
        "give --calibration FOLDER (labels are not needed), or --allow-random-calibration where only speed matters",
    )


def random_set(preprocessing: Preprocessing, count: int) -> CalibrationSet:
    """Seeded normal numbers in place of images."""

    def batches() -> Iterator[NDArray[np.float32]]:
        generator = np.random.default_rng(RANDOM_SEED)
        for _ in range(count):
            yield generator.standard_normal((1, *preprocessing.shape), dtype=np.float32)

    digest = hashlib.sha256(f"random {RANDOM_SEED} {count} {preprocessing.shape}".encode()).hexdigest()
    return CalibrationSet(batches, digest, count, preprocessing, random=True)


def cached_ranges(graph: onnx.ModelProto, images: CalibrationSet, options: Int8Options, progress: Progress) -> Ranges:
    """Ranges from the user's cache, or measured and put there."""
    directory = (options.cache or user_cache()) if options.use_cache else None
    if directory is None:
        if options.use_cache:
            progress.say("ranges are not cached: this user has no home directory")
        return calibrate(graph, images, options.method, progress=progress)
    cache = Cache(directory)
    key = cache_key(
        {
            "graph": graph_digest(graph),
            "images": images.digest,
            "count": images.count,
            "preprocessing": images.preprocessing.model_dump_json(),
            "method": options.method,
            "dmformer": __version__,
            "revision": REVISION,
            "onnxruntime": package_version("onnxruntime"),
            "numpy": package_version("numpy"),
            "pillow": package_version("pillow"),
        }
    )
    cached = cache.get("ranges", key, Ranges)
    if cached is not None:
        progress.say(f"ranges from the cache ({images.count} images; --no-cache measures again)")
        return cached
    measured = calibrate(graph, images, options.method, progress=progress)
    cache.put("ranges", key, measured)
    return measured


def overlap(calibration: Dataset | None, verification: Dataset | None) -> int:
    """How many calibration images are verification images too, by their pixels."""
    if calibration is None or verification is None:
        return 0
    known = {content_hash(calibration.load(index).image) for index in range(len(calibration))}
    return len(known.intersection(verification.content_hashes()))
