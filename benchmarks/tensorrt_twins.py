"""The numerical twins of TensorRT graphs against PyTorch: what an engine rounds, without a GPU.

    python -m benchmarks.tensorrt_twins                     (about three minutes on 2 cores)
    python -m benchmarks.tensorrt_twins --max-images 1000   (the embedded checkpoint on fewer images)

Takes the road that ``dmformer export --target tensorrt`` takes. First the embedded checkpoint on its 10,000 test
images: FP32, FP16, INT8, and INT8 in the depthwise levels too, which is the alternative that a device times. Then
`small` at 224 with random weights on real images, for the error of a deep network in half precision.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.timing import machine
from dmformer import assets
from dmformer.calibration.plan import PrecisionPlan, save_plan
from dmformer.manifest import Comparison
from dmformer.model.checkpoint import Checkpoint
from dmformer.model.random_weights import random_checkpoint
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.making import Outcome
from dmformer.pipeline.option_groups import ToleranceOptions
from dmformer.pipeline.options import ExportOptions, Int8Options
from dmformer.precision import Precision
from dmformer.scratch import scratch_directory

LEVELS_TOO = PrecisionPlan(groups={"stem": "float", "*.dma.gate": "float"})
SMALL_IMAGES = 32


def twin(
    weights: Checkpoint | None, precision: Precision, scratch: Path, images: int | None, int8: Int8Options
) -> Outcome:
    """The bundle with the proof of its twin; nothing is asked of it, so that it is never rejected."""
    options = ExportOptions(
        targets=("tensorrt",),
        precision=precision,
        output=scratch,
        force=True,
        max_images=images,
        golden_images=SMALL_IMAGES,
        tolerance=ToleranceOptions(max_error=1e9, min_agreement=0, min_sqnr=-500, max_drop=100),
        int8=int8,
    )
    return export_bundles(weights, options)[0]


def largest(outcome: Outcome) -> Comparison:
    return max(outcome.proof.comparisons, key=lambda comparison: comparison.images)


def embedded(scratch: Path, images: int | None) -> None:
    save_plan(LEVELS_TOO, scratch / "levels.json")
    rows: list[tuple[str, Precision, Int8Options]] = [
        ("FP32", "fp32", Int8Options()),
        ("FP16", "fp16", Int8Options()),
        ("INT8", "int8", Int8Options()),
        ("INT8, levels too", "int8", Int8Options(plan=scratch / "levels.json")),
    ]
    for name, precision, int8 in rows:
        found = largest(twin(None, precision, scratch, images, int8))
        top1 = found.figures["top1"]
        assert top1.drop is not None
        print(
            f"{name:17} {found.images} images: top-1 {top1.engine:.2f} ({-top1.drop:+.2f} points), "
            f"agreement {found.agreement:.2%}, SQNR {found.sqnr_db or float('inf'):.1f} dB, "
            f"max error {found.max_abs_error:.1e}",
            flush=True,
        )


def small(scratch: Path) -> None:
    weights = random_checkpoint("small")
    # Named calibration images are scanned for float16's range too: random weights have none of their own.
    outcome = twin(weights, "fp16", scratch, None, Int8Options(calibration=assets.calibration_images(), images=32))
    logits = outcome.bundle.golden().outputs
    spread = float(logits.max() - logits.min())
    error = largest(outcome).max_abs_error or 0.0
    print(
        f"small at 224, FP16: {len(logits)} images: max error {error:.2e}, {error / spread:.2e} of the range of the "
        f"FP32 logits ({spread:.2f}), agreement {largest(outcome).agreement:.2%}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--max-images", type=int)
    given = parser.parse_args()
    print(machine(), flush=True)
    with scratch_directory() as folder:
        embedded(folder, given.max_images)
        small(folder)


if __name__ == "__main__":
    main()
