"""Measurements as data, for tests that need no clock."""

from __future__ import annotations

from typing import Any

import numpy as np

from dmformer.environment import Environment
from dmformer.evaluation.latency import statistics
from dmformer.evaluation.latency.accuracy import Accuracy
from dmformer.evaluation.latency.document import Document, Histogram, Layers, PartTime, Peaks, RecordedSettings, Result

LAUNCHES, ROUNDS = 5, 6


def make_result(name: str = "engine", ms: float = 10.0, seed: int = 0, **changes: Any) -> Result:
    generator = np.random.default_rng(seed)
    times = ms * generator.lognormal(0, 0.01, (LAUNCHES, ROUNDS, 24))
    edges, counts = statistics.histogram(times.ravel())
    values: dict[str, Any] = {
        "name": name,
        "kind": "bundle",
        "target": "onnxruntime",
        "provider": "CPUExecutionProvider",
        "executes": "float32",
        "precision": "fp32",
        "family": "f" * 64 + ":3x32x32",
        "model": "mini",
        "input": (1, 3, 32, 32),
        "batch": 1,
        "samples": times.size,
        "p50_ms": float(np.median(times)),
        "p90_ms": statistics.early_stopping(times.ravel(), 0.9),
        "p95_ms": statistics.early_stopping(times.ravel(), 0.95),
        "p99_ms": statistics.early_stopping(times.ravel(), 0.99),
        "mean_ms": float(times.mean()),
        "std_ms": float(times.std()),
        "min_ms": float(times.min()),
        "cv": 0.01,
        "throughput_ips": 1000 / ms,
        "load_ms": 50.0,
        "import_ms": 30.0,
        "compile_ms": 20.0,
        "first_ms": 2 * ms,
        "warmup_ms": 300.0,
        "warmed_up": True,
        "peak_rss_mb": 120.0,
        "base_rss_mb": 40.0,
        "engine_bytes": 1 << 20,
        "reference": None,
        "speedup": None,
        "speedup_ci": None,
        "slices_ms": tuple(tuple(float(v) for v in launch) for launch in np.median(times, axis=2)),
        "histogram": Histogram(edges_ms=tuple(edges), counts=tuple(counts)),
    }
    return Result(**(values | changes))


def make_accuracy(top1: float = 92.5, top5: float | None = None, **changes: Any) -> Accuracy:
    values = {"data": "test set", "images": 1000, "verified": True}
    figures = {"top1": {"engine": top1, "reference": 92.6}}
    if top5 is not None:
        figures["top5"] = {"engine": top5, "reference": 99.5}
    return Accuracy(**(values | {"figures": figures, "agreement": 0.995, "sqnr_db": 40.0} | changes))


def make_layers() -> Layers:
    parts = (
        PartTime(part="stem", ms=1, share=0.1, precision={"float32": 1.0}, layers=3),
        PartTime(
            part="DMA levels", ms=6, share=0.6, precision={"int8": 0.7, "float32": 0.3}, layers=9,
            macs=10**8, moved_bytes=10**7, gmacs_per_s=16.7, of_compute=0.12, of_memory=0.4, bound="memory",
        ),
        PartTime(
            part="FFN", ms=3, share=0.3, precision={"float32": 1.0}, layers=6,
            macs=10**9, moved_bytes=10**7, gmacs_per_s=333.0, of_compute=0.8, of_memory=0.1, bound="compute",
        ),
    )  # fmt: skip
    return Layers(source="a profiler", total_ms=10, parts=parts)


def make_peaks() -> Peaks:
    rates = {"float32": 100.0, "int8": 300.0}
    return Peaks(target="onnxruntime", gmacs_per_s=rates, copy_gb_per_s=20, cache_gb_per_s=90)


def make_document(*results: Result, **changes: Any) -> Document:
    asked = RecordedSettings(
        boundary="engine", boundary_text="the engine alone", scenario="single stream", duration_s=3, iterations=0,
        launches=LAUNCHES, rounds=ROUNDS, threads=1, streams=1, fps=None, image=None,
        device="cpu", seed=0, confidence=0.99,
    )  # fmt: skip
    machine = Environment(cpu="A CPU", cpu_isa=("avx2",), cores=2, cores_online=2, os="Linux", python="3.11")
    values: dict[str, Any] = {
        "taken_at": "2026-11-22T10:00:00+00:00",
        "command": "dmformer bench engine",
        "settings": asked,
        "environment": machine,
        "results": results or (make_result(),),
        "peaks": (
            Peaks(target="onnxruntime", gmacs_per_s={"float32": 100, "int8": 300}, copy_gb_per_s=20, cache_gb_per_s=90),
        ),
    }
    return Document(**(values | changes))
