"""Verification: does the engine answer like the PyTorch reference, and is that enough?

Needs no torch: the reference's answers come from the golden samples in the bundle, and for a larger set
from whoever computed them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle
from dmformer.data.dataset import Dataset, UnreadableLog, iterate_batches
from dmformer.data.folders import better_order
from dmformer.engine_input import EngineInput, from_tensors
from dmformer.errors import BundleError, EngineError
from dmformer.evaluation.metrics import TOP, Logits, compare, right_percent
from dmformer.evaluation.tolerances import DEFAULTS, failures
from dmformer.golden import GOLDEN_FILE, Golden
from dmformer.manifest import Comparison, Proof, Tolerance
from dmformer.preprocessing import preprocess
from dmformer.progress import Progress, Silent, foretold
from dmformer.runtimes.base import Session, SessionOptions
from dmformer.runtimes.registry import open_bundle

DYNAMIC_BATCH = 32
PREPROCESSING_ERROR = 1 / 255
"""Largest allowed difference of a golden tensor when its image is preprocessed again, in units of the full
range: versions of Pillow may round a pixel differently, never by more than one step."""
REPEATED_DB, SUMS_DB = 3.0, 100.0
"""How much SQNR another order of sums may cost where each value is rounded, and what it leaves where none is. This
project's choice."""


@dataclass(frozen=True)
class Answers:
    """The reference's answers on a dataset.

    Attributes:
        dataset: The images.
        logits: float32 ``[N, classes]``, one row for each readable image, in order.
        labels: int64 ``[N]``, or None.
        indices: Which images of the dataset the rows belong to.
    """

    dataset: Dataset
    logits: Logits
    labels: NDArray[np.int64] | None
    indices: tuple[int, ...]


def verify(
    bundle: Bundle,
    answers: Answers | None = None,
    dataset: Dataset | None = None,
    tolerance: Tolerance | None = None,
    options: SessionOptions | None = None,
    progress: Progress | None = None,
) -> Proof:
    """Runs an engine on its golden samples, and on more where the reference's answers are given.

    Args:
        bundle: What to verify.
        answers: The reference on a larger set.
        dataset: A larger labelled set on which the reference's answers are not at hand; only right answers are counted.
        tolerance: What must hold; None takes what the bundle was exported with.
        options: How to open the engine.
        progress: Watches the larger set.

    Raises:
        EngineError: The engine gives something that is no finite number, or of another shape.
    """
    golden = fitting_golden(bundle)
    asked = tolerance or asked_at_export(bundle)
    problems = preprocessing_problems(bundle, golden)
    with open_bundle(bundle, options) as session:
        executes = session.execution.precision
        comparisons = [compare_golden(bundle, session, golden)]
        problems += worse_than_proven(bundle, session, comparisons[0])
        if answers is not None:
            comparisons.append(compare_answers(bundle, session, answers, progress or Silent()))
        if dataset is not None:
            comparisons.append(compare_labels(bundle, session, dataset, progress or Silent()))
    largest = max(comparisons, key=lambda comparison: comparison.images)
    for comparison in comparisons:
        problems += failures(comparison, asked, comparison is largest)
    return Proof(
        executes=executes,
        passed=not problems,
        tolerance=asked,
        comparisons=tuple(comparisons),
        failures=tuple(problems),
    )


def asked_at_export(bundle: Bundle) -> Tolerance:
    """The tolerance of the bundle's own proof, or the default of its precision where it has none yet."""
    proof = bundle.manifest.proof
    return proof.tolerance if proof else DEFAULTS[bundle.manifest.precision.requested]


def fitting_golden(bundle: Bundle) -> Golden:
    """The golden samples.

    Raises:
        BundleError: They are damaged, or not of the shapes that the manifest names.
    """
    golden = bundle.golden()
    found = (golden.tensors.shape[1:], golden.logits.shape[1:])
    if found != (bundle.manifest.preprocessing.shape, bundle.manifest.output.shape[1:]):
        raise BundleError(
            f"{bundle.path}: the golden samples have the shapes {found}, which are not the manifest's",
            "export the bundle again",
        )
    return golden


def preprocessing_problems(bundle: Bundle, golden: Golden) -> list[str]:
    """Whether this machine's preprocessing gives the golden tensors."""
    spec = bundle.manifest.preprocessing
    worst = 0.0
    for image, tensor in zip(golden.images, golden.tensors, strict=True):
        difference = np.abs(preprocess(image, spec) - tensor) * np.asarray(spec.std, np.float32)[:, None, None]
        worst = max(worst, float(difference.max()))
    # A little more than one step of 8 bits, for the rounding of the comparison itself.
    if worst <= PREPROCESSING_ERROR * 1.01:
        return []
    return [f"golden samples: preprocessing differs by {worst * 255:.1f} steps of 8 bits: not the engine's fault"]


def worse_than_proven(bundle: Bundle, session: Session, found: Comparison) -> list[str]:
    """Whether an engine that answers alike everywhere has got worse on the golden samples since it was exported.

    Then its weights were changed, be it by little enough to stay within the tolerance.
    """
    # Earlier versions noted the checksum of the file.
    digests = {found.data_sha256, bundle.manifest.files[GOLDEN_FILE].sha256}
    proven = next((one for one in earlier(bundle) if one.data_sha256 in digests), None)
    if not session.repeatable or proven is None or proven.sqnr_db is None or found.sqnr_db is None:
        return []
    if found.sqnr_db >= min(proven.sqnr_db, SUMS_DB) - REPEATED_DB:
        return []
    fell = f"SQNR {found.sqnr_db:.1f} dB, at export it was {proven.sqnr_db:.1f} dB"
    return [f"golden samples: {fell}: this is not the engine that was exported"]


def earlier(bundle: Bundle) -> tuple[Comparison, ...]:
    """The comparisons of a bundle's own proof."""
    return bundle.manifest.proof.comparisons if bundle.manifest.proof else ()


def compare_golden(bundle: Bundle, session: Session, golden: Golden) -> Comparison:
    """The engine on the golden tensors."""
    found = run_all(bundle, session, golden.tensors)
    return compare(golden.logits, found, golden.labels, "golden samples", golden.digest())


def compare_answers(bundle: Bundle, session: Session, answers: Answers, progress: Progress) -> Comparison:
    """The engine on a dataset that the reference has answered."""
    found, _ = run_dataset(bundle, session, answers.dataset.select(answers.indices), progress)
    return compare(answers.logits, found, answers.labels, answers.dataset.name, answers.dataset.digest())


def compare_labels(bundle: Bundle, session: Session, dataset: Dataset, progress: Progress) -> Comparison:
    """The engine on labelled images, beside the reference's top-1 where the bundle's proof has it for the same set."""
    found, indices = run_dataset(bundle, session, dataset, progress)
    labels = dataset.labels[indices] if dataset.labels is not None else None
    # Beside a reference, the reference has said it.
    if said := better_order(dataset, indices, found.argmax(axis=1)):
        progress.say(said)
    digest = dataset.digest()
    same = next((comparison for comparison in earlier(bundle) if comparison.data_sha256 == digest), None)
    return Comparison(
        data=dataset.name,
        data_sha256=digest,
        images=len(found),
        top1=right_percent(found, labels, 1),
        top5=right_percent(found, labels, TOP),
        reference_top1=same.reference_top1 if same else None,
        reference_top5=same.reference_top5 if same else None,
    )


def run_dataset(bundle: Bundle, session: Session, dataset: Dataset, progress: Progress) -> tuple[Logits, list[int]]:
    """The engine's logits on every readable image of a dataset, and which ones these are."""
    size = batch_size(bundle, session)
    log = UnreadableLog()
    batches = iterate_batches(dataset, bundle.manifest.preprocessing, size, log=log)
    found: list[Logits] = []
    indices: list[int] = []
    what, total = f"verifying {bundle.manifest.target}", -(-len(dataset) // size)
    for batch in progress.track(foretold(batches, total, what, progress), what, total):
        found.append(run_all(bundle, session, batch.tensor))
        indices.extend(batch.indices)
    if log.entries:
        progress.say(log.summary())
    return np.concatenate(found), indices


def batch_size(bundle: Bundle, session: Session) -> int:
    """How many images to give a session at once."""
    return session.images_at_once or bundle.manifest.input.shape[0] or DYNAMIC_BATCH


def run_all(bundle: Bundle, session: Session, tensors: NDArray[np.float32]) -> Logits:
    """Runs any number of preprocessed images through an engine; those of one that takes pixels are undone first.

    Args:
        bundle: The engine's bundle.
        session: The opened engine.
        tensors: float32 ``[N, C, H, W]``.

    Raises:
        EngineError: The output is not ``[N, classes]``, or holds NaN or infinity.
        UsageError: The engine takes pixels, and no picture gives these tensors.
    """
    return run_batches(bundle, session, from_tensors(bundle.manifest, tensors))


def run_batches(bundle: Bundle, session: Session, images: EngineInput) -> Logits:
    """Runs any number of images through an engine, filling up the last batch of an engine with a fixed one.

    Args:
        bundle: The engine's bundle.
        session: The opened engine.
        images: What the engine takes, for any N: see `dmformer.engine_input`.

    Raises:
        EngineError: The output is not ``[N, classes]``, or holds NaN or infinity.
    """
    size = batch_size(bundle, session)
    fixed = session.images_at_once is None and bundle.manifest.input.shape[0] is not None
    parts = []
    for start in range(0, len(images), size):
        part = images[start : start + size]
        missing = size - len(part) if fixed else 0
        padded = np.concatenate([part, np.zeros((missing, *part.shape[1:]), part.dtype)]) if missing else part
        output = session.run(np.ascontiguousarray(padded))[bundle.manifest.output.name]
        if output.shape != (len(padded), bundle.manifest.output.shape[1]):
            raise EngineError(
                f"{bundle.path}: the engine gives {output.shape} for {len(padded)} images, "
                f"the manifest says {bundle.manifest.output.shape}"
            )
        parts.append(np.asarray(output, np.float32)[: len(part)])
    found = np.concatenate(parts)
    if not np.isfinite(found).all():
        raise EngineError(f"{bundle.path}: the engine gives values that are not finite", "export it with --fp32")
    return found
