"""How long TensorRT for RTX takes to build an engine on this machine, without a GPU.

    python -m benchmarks.tensorrt_builds

Wall time of the child process that builds: loading the library, parsing, building, writing. The embedded checkpoint
and `small` at 224, in FP32, FP16 and INT8, with a fixed batch of 1 and an open one (1 to 8). Weights of `small` and its
INT8 ranges are random: they change no shape.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.timing import machine
from dmformer.model.checkpoint import Checkpoint
from dmformer.model.random_weights import random_checkpoint
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.option_groups import ToleranceOptions
from dmformer.pipeline.options import ExportOptions, Int8Options
from dmformer.precision import Precision
from dmformer.runtimes.base import EngineRequest
from dmformer.runtimes.child import build_in_child
from dmformer.runtimes.tensorrt.bundles import plan_in
from dmformer.scratch import scratch_directory

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
FEW = 8
"""Images to calibrate and to verify with: only the time of the build is looked at."""


def build(weights: Checkpoint | None, precision: Precision, dynamic: bool, scratch: Path) -> tuple[float, int, str]:
    """Seconds of one build, size of the engine in bytes, and what it computes in."""
    options = ExportOptions(
        targets=("tensorrt",),
        precision=precision,
        dynamic=dynamic,
        output=scratch / "graphs",
        force=True,
        max_images=FEW,
        golden_images=2,
        tolerance=ToleranceOptions(max_error=1e9, min_agreement=0, min_sqnr=-500, max_drop=100),
        int8=Int8Options(images=FEW, allow_random=True, use_cache=False),
    )
    bundle = export_bundles(weights, options)[0].bundle
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        plan = plan_in(bundle).model_dump(mode="json", by_alias=True)
        request = EngineRequest(str(bundle.file("graph")), folder, precision, bundle.manifest.precision.stored, plan)
        begin = time.perf_counter()
        report = build_in_child("tensorrt-rtx", request)
        seconds = time.perf_counter() - begin
        return seconds, (Path(folder) / "model.engine").stat().st_size, report.executes


def main() -> None:
    print(machine(), flush=True)
    models: dict[str, Checkpoint | None] = {"embedded at 32": None, "small at 224": random_checkpoint("small")}
    with scratch_directory() as folder:
        for name, weights in models.items():
            for precision in PRECISIONS:
                for dynamic in (False, True):
                    seconds, size, executes = build(weights, precision, dynamic, folder)
                    batch = "batch 1 to 8" if dynamic else "batch 1"
                    print(
                        f"{name}, {precision}, {batch}: {seconds:.1f} s, {size / 1e6:.1f} MB, computes in {executes}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
