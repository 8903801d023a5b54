"""Verifying a bundle with all that is at hand: golden samples always, labelled images and PyTorch where they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from dmformer.bundle import Bundle
from dmformer.common_options import MASKS, MaskOptions
from dmformer.data.dataset import Dataset, subset
from dmformer.data.open import open_dataset
from dmformer.errors import DataError, MissingBackendError, UsageError
from dmformer.evaluation.reference import ReferenceOutputs
from dmformer.evaluation.verify import fitting_golden, verify
from dmformer.framing import Framing, framing_of
from dmformer.manifest import Proof, Tolerance
from dmformer.options import filled, leaves
from dmformer.pipeline.sources import demonstration_of
from dmformer.progress import Progress
from dmformer.runtimes.base import SessionOptions
from dmformer.runtimes.registry import open_bundle
from dmformer.scratch import scratch_directory


@dataclass(frozen=True)
class Evidence:
    """What to verify with.

    Attributes:
        data: Images; None takes the embedded test set for bundles of the embedded checkpoint.
        max_images: Keep at most this many, spread evenly.
        masks: What the values of masks mean; the defaults give way to what the bundle was exported with.
        weights: The bundle's weights, for PyTorch's answers on the images.
        tolerance: What must hold; None takes what the bundle was exported with.
        session: Threads and device.
        tile: Part of a window that the next one covers again; None shows pictures to the engine as a whole.
    """

    data: Path | None = None
    max_images: int | None = None
    weights: Path | None = None
    tolerance: Tolerance | None = None
    session: SessionOptions = field(default_factory=SessionOptions)
    masks: MaskOptions = MASKS
    tile: float | None = None


def verify_bundle(bundle: Bundle, options: Evidence, progress: Progress) -> Proof:
    """Verifies a bundle on this machine.

    Raises:
        CheckpointError: The weights are not the ones that the bundle was made from.
        DataError: The images cannot be used.
        DmformerError: See `dmformer.errors`.
    """
    # What is cheap to find out comes before images are read and PyTorch runs on them.
    fitting_golden(bundle)
    with open_bundle(bundle, options.session):
        pass
    dataset = choose_dataset(bundle, options, progress)
    if dataset is not None:
        progress.say(f"verifying on {len(dataset):,} images of {dataset.name}")
    weights = weights_of_bundle(bundle, options, dataset, progress)
    framing = framing_of(bundle.manifest, options.tile)
    if weights is None or dataset is None:
        return verify(bundle, None, dataset, options.tolerance, options.session, progress, framing)
    with scratch_directory() as scratch:
        outputs = outputs_of(weights, bundle, dataset, framing, scratch / "reference.f32", progress)
        return verify(bundle, outputs, None, options.tolerance, options.session, progress)


def choose_dataset(bundle: Bundle, options: Evidence, progress: Progress) -> Dataset | None:
    """The images to verify on, or None for the golden samples alone."""
    shown = demonstration_of(bundle.manifest.source.sha256)
    if options.data is not None:
        dataset = open_dataset(options.data, bundle.manifest.labels, masks_of(bundle, options.masks))
    elif shown is not None:
        dataset = shown.test()
        progress.say(f"no data given: verifying on the embedded {shown.test_name}")
    elif options.weights is not None:
        raise UsageError("--weights was given without images to run them on", "give --data, or leave it out")
    else:
        progress.say("no data given: verifying on the golden samples alone")
        return None
    bundle.manifest.task.check(dataset)
    for note in dataset.notes:
        progress.say(note)
    if options.max_images is not None and options.max_images < len(dataset):
        dataset = subset(dataset, options.max_images)
    return dataset


def masks_of(bundle: Bundle, asked: MaskOptions) -> MaskOptions:
    """What the values of masks mean to a bundle: what was asked for, else what it was exported with."""
    said = bundle.manifest.options or {}
    known = {leaf.place: said[leaf.name] for leaf in leaves(MaskOptions) if type(said.get(leaf.name)) is leaf.kind}
    return asked if asked != MASKS else filled(MaskOptions, known)


def weights_of_bundle(bundle: Bundle, options: Evidence, dataset: Dataset | None, progress: Progress) -> Path | None:
    """The weights that PyTorch's answers can be computed from here, or None."""
    if options.weights is not None:
        if find_spec("torch") is None:
            raise MissingBackendError("--weights needs torch, which is not installed", "pip install 'dmformer[export]'")
        return options.weights
    shown = demonstration_of(bundle.manifest.source.sha256)
    if shown and find_spec("torch") is not None:
        return shown.weights()
    if dataset is not None:
        if not dataset.labelled:
            raise DataError(
                f"{dataset.name}: has no labels, and PyTorch's answers on it are not at hand",
                "give --weights, or images with the right answers",
            )
        progress.say("PyTorch's answers on these images are not at hand: counting right answers only")
    return None


def outputs_of(
    weights: Path, bundle: Bundle, dataset: Dataset, framing: Framing, file: Path, progress: Progress
) -> ReferenceOutputs:
    """PyTorch's outputs, kept in a file, from the weights that the bundle was made from."""
    from dmformer.model.again import load_again
    from dmformer.pipeline.reference import reference_outputs

    checkpoint = load_again(weights, bundle.manifest.source)
    return reference_outputs(checkpoint.build(), dataset, framing, file, progress)
