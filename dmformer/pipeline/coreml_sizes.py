"""The proof of a Core ML package at the sizes that it takes besides its own."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from dmformer.evaluation.tolerances import failures
from dmformer.evaluation.verify import measured
from dmformer.pipeline.reference import infer
from dmformer.preprocessing import preprocess
from dmformer.runtimes.engine import open_engine

if TYPE_CHECKING:
    from dmformer.bundle import Bundle
    from dmformer.manifest import Proof
    from dmformer.pipeline.making import Prepared
    from dmformer.progress import Progress

SAMPLES = 8
"""Golden samples at each further size: the weights are proven on all of them already."""


def with_sizes(
    proof: Proof, bundle: Bundle, prepared: Prepared, sizes: tuple[tuple[int, int], ...], progress: Progress
) -> Proof:
    """A proof that the engine answers like PyTorch at further sizes too.

    Args:
        proof: What was measured at the model's own size, and the tolerance.
        bundle: The package's.
        prepared: The reference and the golden samples, whose images are preprocessed for each size.
        sizes: Heights and widths.
        progress: Watches.
    """
    if not sizes:
        return proof
    reference, golden = prepared.checkpoint.build(), prepared.golden
    comparisons, problems = list(proof.comparisons), list(proof.failures)
    with open_engine(bundle) as engine:
        for height, width in progress.track(sizes, "verifying the other sizes", len(sizes)):
            spec = prepared.checkpoint.preprocessing.resized_to((height, width))
            tensors = np.stack([preprocess(image, spec) for image in golden.images[:SAMPLES]])
            name, digest = f"{golden.title} at {height}x{width}", hashlib.sha256(tensors.tobytes()).hexdigest()
            figures = measured(bundle.manifest)
            figures.add(infer(reference, tensors), engine.run_tensors(tensors), golden.targets[:SAMPLES])
            comparisons.append(figures.comparison(name, digest))
            problems += failures(comparisons[-1], proof.tolerance, bundle.manifest.task.headline)
    return proof.model_copy(
        update={"passed": not problems, "comparisons": tuple(comparisons), "failures": tuple(problems)}
    )
