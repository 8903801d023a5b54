"""The C++ project against Python: the engine's latency side by side, and how long it takes to get there.

Demanded: C++ no slower than Python, and from ``dmformer export`` to a passed C++ self-test in at most 5 commands and
2 minutes. The two take turns, a second each, so that a change of the machine's speed meets both.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.timing import machine
from dmformer.bundle import Bundle
from dmformer.runtimes.base import SessionOptions
from dmformer.runtimes.registry import open_bundle

COMMANDS = (
    "dmformer export --target openvino --max-images 200 --output engines",
    "dmformer embed engines/*-openvino-fp32 --lang cpp --output classifier",
    "cmake -S classifier -B classifier/build",
    "cmake --build classifier/build --parallel",
    "classifier/build/self-test",
)


def run(command: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def prepare(folder: Path) -> None:
    total = 0.0
    for command in COMMANDS:
        begin = time.perf_counter()
        run(command, folder)
        seconds = time.perf_counter() - begin
        total += seconds
        print(f"{seconds:7.1f} s  {command}")
    print(f"{total:7.1f} s  in {len(COMMANDS)} commands")


def cpp_ms(folder: Path, threads: int, seconds: float) -> float:
    said = run(f"classifier/build/self-test --threads {threads} --bench {seconds}", folder)
    found = re.search(r"p50 ([\d.]+) ms", said)
    assert found is not None, said
    return float(found[1])


def python_ms(bundle: Bundle, threads: int, seconds: float) -> float:
    """As the C++ program does it: a session, a fifth of the time to warm up, the median of the rest."""
    shape = (bundle.manifest.input.shape[0] or 1, *bundle.manifest.preprocessing.shape)
    batch = np.full(shape, 0.5, np.float32)
    times: list[float] = []
    with open_bundle(bundle, SessionOptions(threads=threads)) as session:
        begin = time.perf_counter()
        while time.perf_counter() - begin < seconds:
            start = time.perf_counter()
            session.run(batch)
            if start - begin > seconds / 5:
                times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def compare(folder: Path, threads: int, rounds: int, seconds: float) -> None:
    bundle = Bundle.load(next((folder / "engines").iterdir()))
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(cpp_ms(folder, threads, seconds))
        theirs.append(python_ms(bundle, threads, seconds))
    ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
    name = f"{threads} threads" if threads else "the runtime's choice of threads"
    print(
        f"C++ {statistics.median(ours):.4f} ms, Python {statistics.median(theirs):.4f} ms, "
        f"ratio {ratio:.3f} (median of {rounds} pairs, {name})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder)
        for threads in (1, 0):
            compare(folder, threads, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
