"""The proof of an engine at sizes besides its own: those of a Core ML package, and one of those that are open."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dmformer.evaluation.tolerances import failures
from dmformer.evaluation.verify import measured
from dmformer.geometry import TOTAL_STRIDE
from dmformer.pipeline.option_groups import Size
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.reference import infer
from dmformer.preprocessing import MAX_SIDE, Preprocessing, preprocess
from dmformer.runtimes.base import SessionOptions
from dmformer.runtimes.engine import open_engine

if TYPE_CHECKING:
    from dmformer.bundle import Bundle
    from dmformer.golden import Golden
    from dmformer.manifest import Proof
    from dmformer.model.checkpoint import Checkpoint
    from dmformer.progress import Progress

SAMPLES = 8
"""Golden samples at each further size: the weights are proven on all of them already."""


def other_sizes(options: ExportOptions, spec: Preprocessing) -> tuple[Size, ...]:
    """The sizes at which an engine of open size is proven besides the usual one: one that is a little larger.

    It is no square where the usual one is, and at most twice that, so that profiles have it.
    """
    if not options.dynamic_size:
        return ()
    height, width = spec.size
    return ((_within(height + 32, height), _within(min(width + 64, 2 * width), width)),)


def calibration_sizes(options: ExportOptions, spec: Preprocessing) -> tuple[Size, ...]:
    """The sizes at which an engine of open size is calibrated besides the usual one: half of it, and twice.

    Ranges of one size are wrong at others: of the embedded checkpoint, calibrated at 32x32 alone, the SQNR falls from
    34 dB to 14 dB at 64x64, and stays at 30 dB so.
    """
    if not options.dynamic_size:
        return ()
    half = tuple(max(TOTAL_STRIDE, side // 2 // TOTAL_STRIDE * TOTAL_STRIDE) for side in spec.size)
    twice = tuple(_within(2 * side, side) for side in spec.size)
    return tuple((height, width) for height, width in (half, twice) if (height, width) != spec.size)


def _within(wanted: int, usual: int) -> int:
    return wanted if wanted <= MAX_SIDE else usual


def tensors_at(golden: Golden, spec: Preprocessing, size: Size) -> NDArray[np.float32]:
    """Some golden images, preprocessed for another size."""
    resized = spec.resized_to(size)
    return np.stack([preprocess(image, resized) for image in golden.images[:SAMPLES]])


def with_sizes(
    proof: Proof,
    bundle: Bundle,
    checkpoint: Checkpoint,
    sizes: tuple[Size, ...],
    progress: Progress,
    opening: SessionOptions | None = None,
) -> Proof:
    """A proof that the engine answers like PyTorch at further sizes too.

    Args:
        proof: What was measured at the model's own size, and the tolerance.
        bundle: The engine's; the images of its golden samples are preprocessed for each size.
        checkpoint: Its weights.
        sizes: Heights and widths.
        progress: Watches.
        opening: How to open the engine.
    """
    if not sizes:
        return proof
    reference, golden = checkpoint.build(), bundle.golden()
    *comparisons, last = proof.comparisons  # the largest set, which stands for all of them, stays the last
    problems = list(proof.failures)
    with open_engine(bundle, opening) as engine:
        for height, width in progress.track(sizes, "verifying the other sizes", len(sizes)):
            tensors = tensors_at(golden, checkpoint.preprocessing, (height, width))
            name, digest = f"{golden.title} at {height}x{width}", hashlib.sha256(tensors.tobytes()).hexdigest()
            figures = measured(bundle.manifest)
            figures.add(infer(reference, tensors), engine.run_tensors(tensors), golden.targets[:SAMPLES])
            comparisons.append(figures.comparison(name, digest))
            problems += failures(comparisons[-1], proof.tolerance, bundle.manifest.task.headline)
    return proof.model_copy(
        update={"passed": not problems, "comparisons": (*comparisons, last), "failures": tuple(problems)}
    )
