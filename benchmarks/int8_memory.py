"""Time and peak memory of calibrating, quantizing and verifying ``small`` at 224x224, for 256 and 1024 images.

Each size runs in a process of its own, so that its peak is its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dmformer import host
from dmformer.calibration.collect import CalibrationSet, calibrate
from dmformer.calibration.int8 import quantizer
from dmformer.calibration.plan import default_plan

VERIFIED = 64


def work(preset: str, size: int, count: int) -> None:
    """The whole road once; prints its steps' seconds and the peak."""
    from benchmarks.int8_accuracy import logits_of
    from benchmarks.int8_recipes import graphs_of
    from dmformer.model.random_weights import random_checkpoint
    from dmformer.pipeline.trial import opened

    checkpoint = random_checkpoint(preset, size=size)
    graphs = graphs_of(checkpoint, dynamic=False)

    def batches() -> Iterator[NDArray[np.float32]]:
        generator = np.random.default_rng(0)
        return (generator.standard_normal((1, *checkpoint.preprocessing.shape), dtype=np.float32) for _ in range(count))

    marks = [time.perf_counter()]
    found = calibrate(graphs.canonical, CalibrationSet(batches, "0" * 64, count, checkpoint.preprocessing))
    marks.append(time.perf_counter())
    groups = default_plan(graphs.canonical, "onnxruntime").int8_groups(graphs.canonical)
    model = quantizer(graphs.canonical, found, "onnxruntime", host.int8_isa()).corrected(groups, batches)
    marks.append(time.perf_counter())
    test = np.concatenate([batch for batch, _ in zip(batches(), range(VERIFIED), strict=False)])
    right, quantized = (logits_of(opened("onnxruntime", graph), test, 1) for graph in (graphs.canonical, model))
    agree = right.argmax(1) == quantized.argmax(1)
    marks.append(time.perf_counter())
    steps = [f"{end - begin:8.1f}" for begin, end in pairwise(marks)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{count:>7}{''.join(steps)}{marks[-1] - marks[0]:9.1f}{peak:10.2f}{agree.mean():11.1%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--here", action="store_true", help="run in this process")
    arguments = parser.parse_args()
    if arguments.here:
        work(arguments.preset, arguments.size, arguments.images[0])
        return
    print(f"{'images':>7}{'ranges':>8}{'biases':>8}{'verify':>8}{'total s':>9}{'peak GiB':>10}{'agreement':>11}")
    for count in arguments.images:
        head = [sys.executable, "-m", "benchmarks.int8_memory", "--here", "--preset", arguments.preset]
        subprocess.run([*head, "--size", str(arguments.size), "--images", str(count)], check=True)


if __name__ == "__main__":
    main()
