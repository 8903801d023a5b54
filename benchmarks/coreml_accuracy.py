"""Core ML packages of the embedded checkpoint against PyTorch on all 10,000 test images, without a Mac.

    python -m benchmarks.coreml_accuracy                          (makes the four packages itself: a few minutes)
    python -m benchmarks.coreml_accuracy build/*-coreml-*         (packages that `dmformer export` made)

The packages are run by the evaluator of ML Programs, many images at a time. Prints top-1, agreement, SQNR, the largest
difference of a logit and whether the limit that this project set itself is kept.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dmformer import assets
from dmformer.bundle import Bundle
from dmformer.data.open import open_dataset
from dmformer.evaluation.reference import ReferenceOutputs
from dmformer.evaluation.verify import compare_outputs
from dmformer.framing import Framing
from dmformer.manifest import Comparison
from dmformer.model.checkpoint import load_checkpoint
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.option_groups import CoreMlOptions
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.reference import reference_outputs
from dmformer.precision import Precision
from dmformer.progress import Silent
from dmformer.runtimes.engine import open_engine

KINDS: dict[str, tuple[Precision, CoreMlOptions]] = {
    "fp32": ("fp32", CoreMlOptions()),
    "fp16": ("fp16", CoreMlOptions()),
    "w8a16": ("int8", CoreMlOptions(int8="w8a16")),
    "w8a8": ("int8", CoreMlOptions()),
}
AT_EXPORT = 200
"""Images that an export verifies on here: all of them follow."""


def points(found: Comparison) -> float:
    """By how much top-1 differs from PyTorch's, in percentage points."""
    return abs(found.figures["top1"].drop or 0)


LIMITS: dict[str, tuple[str, Callable[[Comparison], bool]]] = {
    "fp32": ("max error at most 1e-4", lambda found: (found.max_abs_error or 0) <= 1e-4),
    "fp16": ("agreement at least 99.9 %", lambda found: (found.agreement or 0) >= 0.999),
    "w8a16": ("top-1 within 0.05 points", lambda found: round(points(found), 6) <= 0.05),
    "w8a8": ("top-1 within 0.10 points", lambda found: round(points(found), 6) <= 0.10),
}


def made(folder: Path) -> list[Path]:
    """The packages of all precisions."""
    found = []
    for precision, coreml in KINDS.values():
        options = ExportOptions(
            targets=("coreml",), precision=precision, coreml=coreml, output=folder, max_images=AT_EXPORT
        )
        found.append(export_bundles(None, options)[0].bundle.path)
    return found


def report(path: Path, reference: ReferenceOutputs) -> None:
    bundle = Bundle.load(path)
    options = bundle.manifest.runtime.options
    kind = options.get("int8", bundle.manifest.precision.requested)
    started = time.perf_counter()
    with open_engine(bundle) as engine:
        found = compare_outputs(engine, reference, Silent())
    took = time.perf_counter() - started
    (limit, kept), top1 = LIMITS[kind], found.figures["top1"]
    print(
        f"{kind}: top-1 {top1.engine:.2f} (PyTorch {top1.reference:.2f}), agreement {found.agreement:.2%}, "
        f"SQNR {found.sqnr_db:.1f} dB, max error {found.max_abs_error:.1e}; {limit}: "
        f"{'yes' if kept(found) else 'NO'}; {found.images} images in {took:.0f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("bundles", nargs="*", type=Path)
    parser.add_argument("--max-images", type=int)
    given = parser.parse_args()
    checkpoint = load_checkpoint(assets.checkpoint())
    dataset = open_dataset(assets.test_images(), checkpoint.labels)
    if given.max_images is not None:
        dataset = dataset.select(list(range(given.max_images)))
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "reference.f32"
        reference = reference_outputs(checkpoint.build(), dataset, Framing(checkpoint.preprocessing), file, Silent())
        for path in given.bundles or made(Path(scratch)):
            report(path, reference)


if __name__ == "__main__":
    main()
