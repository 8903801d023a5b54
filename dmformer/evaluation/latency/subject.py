"""What a worker process opens and calls: a bundle's engine, or PyTorch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.bundle import Bundle, read_manifest
from dmformer.evaluation.latency.candidates import Candidate
from dmformer.evaluation.latency.settings import BenchSettings
from dmformer.framing import Pixels, framing_of
from dmformer.framing import Run as RunImages
from dmformer.host import threads_per_stream
from dmformer.preprocessing import Preprocessing, preprocess_batch
from dmformer.runtimes.base import SessionOptions
from dmformer.runtimes.engine import Engine
from dmformer.runtimes.registry import fits_here, get_runtime, open_fitting
from dmformer.tasks.base import Result

Run = Callable[[Any], Any]


@dataclass(frozen=True)
class Subject:
    """An opened candidate.

    Attributes:
        run: One inference of what `dmformer.evaluation.latency.workload.preparing` makes; may be called from
            ``streams`` threads.
        enter_thread: Called once in each thread that will call ``run``.
        close: Releases the engine.
        provider: What it runs on, as the runtime reports.
        executes: What it computes in.
        import_ms: Milliseconds to import the library.
        compile_ms: Milliseconds to read the engine and make it ready.
    """

    run: Run
    enter_thread: Callable[[], None]
    close: Callable[[], None]
    provider: str
    executes: str
    import_ms: float
    compile_ms: float


def open_subject(candidate: Candidate, settings: BenchSettings) -> Subject:
    """Opens a candidate in this process."""
    return open_engine(candidate, settings) if candidate.kind == "bundle" else open_pytorch(candidate, settings)


def load_bundle(candidate: Candidate) -> Bundle:
    """The candidate's bundle; its files were checked by the process that started this one."""
    return Bundle(Path(candidate.bundle), read_manifest(Path(candidate.bundle)))


def open_engine(candidate: Candidate, settings: BenchSettings) -> Subject:
    """Opens the engine of a bundle."""
    bundle = load_bundle(candidate)
    fits_here(bundle)
    started = time.perf_counter()
    get_runtime(bundle.manifest.target).preload()
    imported = time.perf_counter()
    options = SessionOptions(threads_per_stream(settings.threads, settings.streams), settings.device, settings.streams)
    session = open_fitting(bundle, options)
    opened = time.perf_counter()
    engine, answer = Engine(bundle.manifest, session, str(bundle.path)), bundle.manifest.answer
    # An application takes what the graph decided, and leaves the rest where it is.
    run = partial(session.run, only=answer.name if answer else None)
    return Subject(
        run if settings.tile is None else in_windows(bundle, settings, engine.run_images),
        lambda: None,
        session.close,
        session.execution.provider,
        session.execution.precision,
        (imported - started) * 1e3,
        (opened - imported) * 1e3,
    )


def in_windows(bundle: Bundle, settings: BenchSettings, run: RunImages) -> Run:
    """Pictures through a network in windows of its size."""
    framing = framing_of(bundle.manifest, settings.tile)
    return lambda images: [framing.result(image, run) for image in images]


def open_pytorch(candidate: Candidate, settings: BenchSettings) -> Subject:
    """Builds the FP32 reference network, as it was trained (nothing folded), in eager mode or compiled."""
    started = time.perf_counter()
    import torch

    from dmformer.model.again import load_again
    from dmformer.model.random_weights import random_checkpoint

    imported = time.perf_counter()
    source = load_bundle(candidate).manifest.source
    checkpoint = load_again(candidate.weights, source) if candidate.weights else random_checkpoint(source.config)
    threads = threads_per_stream(settings.threads, settings.streams)

    def enter_thread() -> None:
        if threads:
            torch.set_num_threads(threads)

    enter_thread()
    answer: Any = checkpoint.build().answer
    if candidate.kind == "pytorch-compile":
        answer = torch.compile(answer)

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = answer(torch.from_numpy(batch)).numpy()
        return logits

    def run_images(images: Sequence[Pixels], spec: Preprocessing) -> Result:
        return Result(run(preprocess_batch(images, spec)))

    opened = time.perf_counter()
    return Subject(
        run if settings.tile is None else in_windows(load_bundle(candidate), settings, run_images),
        enter_thread,
        lambda: None,
        "PyTorch " + ("compiled" if candidate.kind == "pytorch-compile" else "eager"),
        "float32",
        (imported - started) * 1e3,
        (opened - imported) * 1e3,
    )


def memory_mb() -> tuple[float, float] | None:
    """Resident memory of this process now and at its peak, MiB; None where the system does not tell.

    From ``/proc/self/status``: ``ru_maxrss`` would carry the peak of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(fields["VmRSS"].split()[0]) / 1024, int(fields["VmHWM"].split()[0]) / 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if os.uname().sysname == "Darwin" else 1 << 10)
    return peak, peak
