"""Does `dmformer bench` find a difference where there is none? A bundle against itself, again and again.

Demanded: in at least 19 of 20 tries the interval of the speed-up contains 1.0.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.timing import machine
from dmformer.evaluation.latency.bench import bench
from dmformer.evaluation.latency.candidates import candidates_of
from dmformer.evaluation.latency.settings import BenchSettings
from dmformer.model.random_weights import random_checkpoint
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--target", default="onnxruntime")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--duration", type=float, default=2.0)
    parser.add_argument("--launches", type=int, default=BenchSettings().launches)
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    print(machine())
    settings = BenchSettings(
        duration_s=arguments.duration, launches=arguments.launches, threads=arguments.threads, warmup_s=2
    )
    held = 0
    widths = []
    with tempfile.TemporaryDirectory() as scratch:
        options = ExportOptions((arguments.target,), golden_images=4, output=Path(scratch))
        bundle = export_bundles(random_checkpoint(arguments.preset, size=arguments.size), options)[0].bundle
        candidates = candidates_of([bundle, bundle], [])
        for attempt in range(arguments.tries):
            document = bench(candidates, {str(bundle.path): bundle}, replace(settings, seed=attempt), layers=False)
            found = document.results[1]
            assert found.speedup is not None
            assert found.speedup_ci is not None
            low, high = found.speedup_ci
            holds = low <= 1.0 <= high
            held += holds
            widths.append((high - low) / 2)
            print(
                f"try {attempt + 1:>2}: p50 {document.results[0].p50_ms:8.3f} and {found.p50_ms:8.3f} ms, speed-up "
                f"{found.speedup:.4f}, {low:.4f} to {high:.4f}  {'contains 1' if holds else 'DOES NOT CONTAIN 1'}",
                flush=True,
            )
    # Intervals that are wide contain anything: how wide they are belongs to the answer.
    print(
        f"{held} of {arguments.tries} intervals contain 1.0; half of the median one is {statistics.median(widths):.1%}"
    )


if __name__ == "__main__":
    main()
