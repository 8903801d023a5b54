"""Verification: does the engine answer like the PyTorch reference, and is that enough?

Needs no torch: the reference's answers come from the golden samples in the bundle, and for a larger set
from whoever computed them.
"""

from __future__ import annotations

import numpy as np

from dmformer.bundle import Bundle
from dmformer.data.dataset import Dataset
from dmformer.errors import BundleError
from dmformer.evaluation.batches import answered
from dmformer.evaluation.metrics import Measured
from dmformer.evaluation.reference import ReferenceOutputs
from dmformer.evaluation.tolerances import DEFAULTS, failures, too_few, within_chance
from dmformer.fields import Score
from dmformer.framing import Framing, framing_of
from dmformer.golden import GOLDEN_FILE, Golden
from dmformer.manifest import Comparison, Manifest, Proof, Tolerance
from dmformer.preprocessing import preprocess
from dmformer.progress import Progress, Silent
from dmformer.runtimes.base import SessionOptions
from dmformer.runtimes.engine import Engine, open_engine
from dmformer.tasks.base import joined_shape

PREPROCESSING_ERROR = 1 / 255
"""Largest allowed difference of a golden tensor when its image is preprocessed again, in units of the full
range: versions of Pillow may round a pixel differently, never by more than one step."""
REPEATED_DB, SUMS_DB = 3.0, 100.0
"""How much SQNR another order of sums may cost where each value is rounded, and what it leaves where none is. This
project's choice."""


def verify(
    bundle: Bundle,
    reference: ReferenceOutputs | None = None,
    dataset: Dataset | None = None,
    tolerance: Tolerance | None = None,
    options: SessionOptions | None = None,
    progress: Progress | None = None,
    framing: Framing | None = None,
) -> Proof:
    """Runs an engine on its golden samples, and on more where the reference's outputs are given.

    Args:
        bundle: What to verify.
        reference: PyTorch on a larger set.
        dataset: A larger labelled set on which the reference's outputs are not at hand; only right answers are counted.
        tolerance: What must hold; None takes what the bundle was exported with.
        options: How to open the engine.
        progress: Watches the larger set.
        framing: How the pictures of ``dataset`` go through the engine; those of ``reference`` went as it says. None is
            the engine's own.

    Raises:
        EngineError: The engine gives something that is no finite number, or of another shape.
    """
    golden = fitting_golden(bundle)
    limits = tolerance or exported_tolerance(bundle)
    problems = preprocessing_problems(bundle, golden)
    with open_engine(bundle, options) as engine:
        executes = engine.session.execution.precision
        comparisons = [compare_golden(engine, golden)]
        problems += worse_than_proven(bundle, engine, comparisons[0])
        if reference is not None:
            comparisons.append(compare_outputs(engine, reference, progress or Silent()))
        if dataset is not None:
            comparisons.append(
                compare_targets(bundle, engine, dataset, framing or framing_of(bundle.manifest), progress or Silent())
            )
    largest, headline = max(comparisons, key=lambda comparison: comparison.images), bundle.manifest.task.headline
    notes = []
    if headline is not None and not comparisons[-1].figures:
        notes.append(f"{headline.title} is not measured: give labelled images with --data")
    notes += by_output(bundle.manifest, largest)
    for comparison in comparisons:
        # What was given counts as asked, be it less than the golden samples.
        problems += failures(comparison, limits, headline, comparison in (largest, comparisons[-1]))
    notes += within_chance(comparisons[-1], limits, headline) + too_few(comparisons[-1], limits, headline)
    return Proof(
        executes=executes,
        passed=not problems,
        tolerance=limits,
        comparisons=tuple(comparisons),
        failures=tuple(problems),
        notes=tuple(notes),
    )


def by_output(manifest: Manifest, comparison: Comparison) -> list[str]:
    """The SQNR of each of several outputs, in words."""
    if not comparison.sqnr_db_by_output:
        return []
    each = zip(manifest.compared, comparison.sqnr_db_by_output, strict=True)
    said = ", ".join(f"{spec.name} {'equal' if noise is None else f'{noise:.1f}'}" for spec, noise in each)
    return [f"{comparison.data}: SQNR by output in dB: {said}"]


def exported_tolerance(bundle: Bundle) -> Tolerance:
    """The tolerance of the bundle's own proof, or the default of its precision where it has none yet."""
    proof = bundle.manifest.proof
    return proof.tolerance if proof else DEFAULTS[bundle.manifest.precision.requested]


def fitting_golden(bundle: Bundle) -> Golden:
    """The golden samples.

    Raises:
        BundleError: They are damaged, or not of the shapes that the manifest names.
    """
    golden = bundle.golden()
    shapes = (golden.tensors.shape[1:], golden.outputs.shape[1:])
    manifest = bundle.manifest
    specs = manifest.source.config.outputs(manifest.preprocessing.size)
    if shapes != (manifest.preprocessing.shape, joined_shape(specs)[1:]):
        raise BundleError(
            f"{bundle.path}: the golden samples have the shapes {shapes}, which are not the manifest's",
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


def worse_than_proven(bundle: Bundle, engine: Engine, now: Comparison) -> list[str]:
    """Whether an engine that answers alike everywhere has got worse on the golden samples since it was exported.

    Then its weights were changed, be it by little enough to stay within the tolerance.
    """
    # Earlier versions noted the checksum of the file.
    digests = {now.data_sha256, bundle.manifest.files[GOLDEN_FILE].sha256}
    proven = next((one for one in earlier(bundle) if one.data_sha256 in digests), None)
    if not engine.session.repeatable or proven is None or proven.sqnr_db is None or now.sqnr_db is None:
        return []
    if now.sqnr_db >= min(proven.sqnr_db, SUMS_DB) - REPEATED_DB:
        return []
    fell = f"SQNR {now.sqnr_db:.1f} dB, at export it was {proven.sqnr_db:.1f} dB"
    return [f"golden samples: {fell}: this is not the engine that was exported"]


def earlier(bundle: Bundle) -> tuple[Comparison, ...]:
    """The comparisons of a bundle's own proof."""
    return bundle.manifest.proof.comparisons if bundle.manifest.proof else ()


def measured(manifest: Manifest) -> Measured:
    """Nothing measured yet of the engine of a manifest."""
    return Measured(manifest.task, manifest.preprocessing.resize)


def compare_golden(engine: Engine, golden: Golden) -> Comparison:
    """The engine on the golden tensors."""
    figures = measured(engine.manifest)
    figures.add(golden.outputs, engine.run_tensors(golden.tensors), golden.targets)
    return figures.comparison(golden.title, golden.digest())


def compare_outputs(engine: Engine, reference: ReferenceOutputs, progress: Progress) -> Comparison:
    """The engine on a dataset beside the reference's outputs."""
    figures, done = Measured(engine.manifest.task, reference.framing.resize), 0
    for part in answered(engine, reference.images, reference.framing, progress):
        figures.add(reference.read(done, len(part.targets)), part.result, part.targets)
        done += len(part.targets)
    return figures.comparison(reference.dataset.name, reference.dataset.digest())


def compare_targets(
    bundle: Bundle, engine: Engine, dataset: Dataset, framing: Framing, progress: Progress
) -> Comparison:
    """The engine on labelled images, beside the reference's figures where the bundle's proof has them for the set."""
    figures = Measured(engine.manifest.task, framing.resize)
    indices: list[int] = []
    for part in answered(engine, dataset, framing, progress):
        figures.add(None, part.result, part.targets)
        indices.extend(part.indices)
    # Beside a reference, the reference has said it.
    if remark := figures.engine.remark(dataset, indices, "the engine"):
        progress.say(remark)
    comparison = figures.comparison(dataset.name, dataset.digest())
    proven = next((one for one in earlier(bundle) if one.data_sha256 == comparison.data_sha256), comparison)
    scores = {
        key: Score(engine=score.engine, reference=proven.figures[key].reference if key in proven.figures else None)
        for key, score in comparison.figures.items()
    }
    return comparison.model_copy(update={"figures": scores, "drop_error": proven.drop_error})
