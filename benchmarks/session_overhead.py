"""What `Session.run` costs over the bare call of the runtime.

Demanded: at most 3 % with ``small`` at 224x224, at most 30 microseconds with ``tiny`` at 32x32. Both calls take turns
one by one, so that nothing but the difference between them is seen; the median of the pairwise differences counts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import machine
from dmformer.bundle import Bundle
from dmformer.model.random_weights import random_checkpoint
from dmformer.pipeline.export import export_bundles
from dmformer.pipeline.options import ExportOptions
from dmformer.runtimes.base import SessionOptions
from dmformer.runtimes.onnx_runtime import OnnxRuntimeSession
from dmformer.runtimes.openvino import OpenVinoSession
from dmformer.runtimes.registry import open_bundle

TARGETS = ("onnxruntime", "openvino")


def bare_call(session: Any, batch: Any) -> Callable[[], object]:
    """The same engine called as its own documentation shows, on the very object that the session holds."""
    if isinstance(session, OnnxRuntimeSession):
        engine, name = session._session, session._input
        return lambda: engine.run(None, {name: batch})
    assert isinstance(session, OpenVinoSession)
    request = session._idle.get()
    session._idle.put(request)
    return lambda: request.infer([batch], share_inputs=True, share_outputs=False)


def paired_us(first: Callable[[], object], second: Callable[[], object], seconds: float) -> tuple[float, float]:
    """Median microseconds of ``first``, and of how much longer ``second`` takes than the ``first`` next to it."""
    times: list[float] = []
    differences: list[float] = []
    end = time.perf_counter() + seconds
    swap = False
    while time.perf_counter() < end or len(times) < 20:
        order = (second, first) if swap else (first, second)
        durations = []
        for call in order:
            begin = time.perf_counter_ns()
            call()
            durations.append((time.perf_counter_ns() - begin) / 1e3)
        mine, other = durations[::-1] if swap else durations
        times.append(mine)
        differences.append(other - mine)
        swap = not swap
    return statistics.median(times), statistics.median(differences)


def measure(bundle: Bundle, threads: int, seconds: float) -> tuple[float, float]:
    """Microseconds of the bare call of a bundle's engine, and of what `Session.run` adds."""
    with open_bundle(bundle, SessionOptions(threads)) as session:
        batch = np.ascontiguousarray(bundle.golden().tensors[:1])
        bare = bare_call(session, batch)

        def through_session() -> object:
            return session.run(batch)

        paired_us(bare, through_session, 1.0)
        return paired_us(bare, through_session, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        for preset, size in (("tiny", 32), ("small", 224)):
            options = ExportOptions(TARGETS, golden_images=1, output=Path(scratch) / preset)
            for outcome in export_bundles(random_checkpoint(preset, size=size), options):
                base, extra = measure(outcome.bundle, arguments.threads, arguments.seconds)
                print(
                    f"{preset:<6}{size:>4}  {outcome.bundle.manifest.target:<12} bare {base:10.1f} us   "
                    f"Session.run {extra:+7.1f} us  {extra / base:+7.2%}"
                )


if __name__ == "__main__":
    main()
