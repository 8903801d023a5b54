"""The proof of a Core ML package at the sizes that it takes besides its own."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from dmformer.evaluation.metrics import compare
from dmformer.evaluation.tolerances import failures
from dmformer.evaluation.verify import run_all
from dmformer.pipeline.reference import infer
from dmformer.preprocessing import preprocess
from dmformer.runtimes.registry import open_bundle

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
        proof: Of the model's own size, with the tolerance.
        bundle: The package's.
        prepared: The reference and the golden samples, whose images are preprocessed for each size.
        sizes: Heights and widths.
        progress: Watches.
    """
    if not sizes:
        return proof
    reference, golden = prepared.checkpoint.build(), prepared.golden
    comparisons, problems = list(proof.comparisons), list(proof.failures)
    with open_bundle(bundle) as session:
        for height, width in progress.track(sizes, "verifying the other sizes", len(sizes)):
            spec = prepared.checkpoint.preprocessing.resized_to((height, width))
            tensors = np.stack([preprocess(image, spec) for image in golden.images[:SAMPLES]])
            outputs = run_all(bundle, session, tensors)
            name, digest = f"golden samples at {height}x{width}", hashlib.sha256(tensors.tobytes()).hexdigest()
            labels = golden.labels[:SAMPLES]
            comparison = compare(infer(reference, tensors), outputs, labels, name, digest)
            comparisons.append(comparison)
            problems += failures(comparison, proof.tolerance)
    return proof.model_copy(
        update={"passed": not problems, "comparisons": tuple(comparisons), "failures": tuple(problems)}
    )
