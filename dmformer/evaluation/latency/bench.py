"""The whole measurement: candidates in, the document out."""

from __future__ import annotations

import statistics as means
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from dmformer import host
from dmformer.bundle import Bundle, sha256_of
from dmformer.environment import environment
from dmformer.errors import EngineError, UsageError
from dmformer.evaluation.latency import statistics
from dmformer.evaluation.latency.accuracy import Accuracy
from dmformer.evaluation.latency.candidates import Candidate
from dmformer.evaluation.latency.document import (
    EVALUATOR,
    NO_DEVICE,
    Document,
    Histogram,
    Layers,
    Peaks,
    RecordedSettings,
    Result,
)
from dmformer.evaluation.latency.doubts import all_warnings, thread_doubts
from dmformer.evaluation.latency.schedule import Launch, Records, take
from dmformer.evaluation.latency.settings import BOUNDARIES, BenchSettings
from dmformer.evaluation.latency.strain import power_of, temperature_of
from dmformer.evaluation.latency.worker import start_worker
from dmformer.evaluation.layers.roofline import placed
from dmformer.progress import Progress, Silent
from dmformer.records import PrecisionRecord
from dmformer.staging import MANIFEST_FILE
from dmformer.summary import engine_bytes, summarize

IMPOSSIBLE = 1.1
"""No part does more arithmetic than the peak, but for the noise of both."""


def bench(
    candidates: list[Candidate],
    bundles: dict[str, Bundle],
    settings: BenchSettings,
    command: str = "",
    layers: bool = True,
    progress: Progress | None = None,
) -> Document:
    """Measures candidates side by side, each in processes of its own.

    Args:
        candidates: Who takes part. Within a family the PyTorch one is the reference of the others, or else the first.
        bundles: The bundles that they name, by path.
        settings: How to measure.
        command: What reproduces it, for the document.
        layers: Also ask the runtimes where the time goes, and measure this machine's limits.
        progress: Watches the work.

    Raises:
        UsageError: There is no candidate.
        EngineCrashError: A candidate's process died; the message names it.
        DmformerError: A candidate cannot be opened or run.
    """
    watch = progress or Silent()
    if not candidates:
        raise UsageError("there is nothing to measure", "name a bundle: dmformer bench build/*")
    records = take(candidates, settings, host.schedulable_cores(), watch)
    # An evaluator computes what a device would; how long it takes says nothing of the device.
    devices = [c for c in candidates if records.launches[c.name][0].opened["provider"] != EVALUATOR]
    references = references_of(devices)
    results = [result(c, bundles[c.bundle], records, references, settings) for c in candidates]
    sizes = {c.family: model_size(bundles[c.bundle]) for c in candidates if c.kind != "bundle"}
    results = [one.model_copy(update=sizes.get(one.family, {})) for one in results]
    peaks: list[Peaks] = []
    notes: list[str] = []
    if layers:
        results, peaks, notes = with_layers(results, candidates, bundles, settings, watch)
    return Document(
        taken_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=command,
        settings=recorded(settings),
        environment=environment(),
        results=tuple(results),
        peaks=tuple(peaks),
        temperature=temperature_of(records.readings),
        no_power=records.meter.why,
        warnings=(*thread_doubts(candidates, settings), *all_warnings(records, results)),
        notes=tuple(notes),
    )


def references_of(candidates: list[Candidate]) -> dict[tuple[str, int], Candidate]:
    """The reference of each family and batch size: PyTorch where it takes part, else the first candidate."""
    launch: dict[tuple[str, int], Candidate] = {}
    for candidate in sorted(candidates, key=lambda c: c.kind == "bundle"):
        launch.setdefault((candidate.family, candidate.batch), candidate)
    return launch


def result(
    candidate: Candidate,
    bundle: Bundle,
    records: Records,
    references: dict[tuple[str, int], Candidate],
    settings: BenchSettings,
) -> Result:
    """All figures of one candidate."""
    launches = records.launches[candidate.name]
    manifest = bundle.manifest
    opened = launches[0].opened
    evaluated = opened["provider"] == EVALUATOR
    best = None if evaluated else references[candidate.family, candidate.batch]
    reference = None if best is None or best.name == candidate.name else best
    ratio = speedup(records.launches[reference.name], launches) if reference else None
    is_bundle = candidate.kind == "bundle"
    return Result(
        name=candidate.name,
        kind=candidate.kind,
        target=manifest.target if is_bundle else candidate.kind,
        provider=opened["provider"],
        executes=opened["executes"],
        precision=manifest.precision.requested if is_bundle else "fp32",
        family=candidate.family,
        model=manifest.name,
        input=(candidate.batch, *manifest.preprocessing.shape),
        batch=candidate.batch,
        **latencies(launches, candidate.batch, settings),
        **beginnings(launches),
        power=power_of(launches, records.meter),
        engine_bytes=engine_bytes(bundle) if is_bundle else None,
        reference=reference.name if reference else None,
        speedup=ratio[0] if ratio else None,
        speedup_ci=ratio[1:] if ratio else None,
        classes=manifest.source.config.classes,
        accuracy=accuracy(bundle) if is_bundle else None,
        bundle_sha256=sha256_of(bundle.path / MANIFEST_FILE) if is_bundle else None,
        notes=notes_on(candidate, evaluated, manifest.precision),
    )


def model_size(bundle: Bundle) -> dict[str, int]:
    """Parameters and multiply-accumulates of a bundle's model, for an image. Needs torch."""
    from dmformer.model.counting import count

    counted = count(bundle.manifest.source.config, bundle.manifest.preprocessing.size)
    return {"parameters": counted.parameters, "macs": counted.macs}


def notes_on(candidate: Candidate, evaluated: bool, precision: PrecisionRecord) -> tuple[str, ...]:
    """What a reader must know about one candidate's figures."""
    if candidate.kind != "bundle":
        return () if candidate.weights else ("random weights of the same shapes: speed only",)
    few = precision.named != precision.requested
    said = (precision.named if few else "", f"evaluator, {NO_DEVICE}: no latency of the target" if evaluated else "")
    return tuple(filter(None, said))


def latencies(launches: list[Launch], batch: int, settings: BenchSettings) -> dict[str, Any]:
    """The figures that come from the calls of all launches."""
    slices = [times for launch in launches for times in launch.times_ms()]
    times = np.concatenate(slices)
    wall_ns = sum(taken["wall_ns"] for launch in launches for taken in launch.slices)
    late = sum(taken["late"] for launch in launches for taken in launch.slices)
    edges, counts = statistics.histogram(times)
    return {
        "samples": len(times),
        "p50_ms": float(np.median(times)),
        "p90_ms": statistics.early_stopping(times, 0.90),
        "p95_ms": statistics.early_stopping(times, 0.95),
        "p99_ms": statistics.early_stopping(times, 0.99),
        "mean_ms": float(times.mean()),
        "std_ms": float(times.std()),
        "min_ms": float(times.min()),
        "cv": statistics.variation(np.array([np.median(part) for part in slices])),
        "throughput_ips": len(times) * batch / (wall_ns / 1e9),
        "slices_ms": tuple(tuple(float(np.median(part)) for part in launch.times_ms()) for launch in launches),
        "histogram": Histogram(edges_ms=tuple(edges), counts=tuple(counts)),
        "late_frames": late / len(times) if settings.fps is not None else None,
    }


def beginnings(launches: list[Launch]) -> dict[str, Any]:
    """The figures of starting: medians over the launches; memory is the largest."""

    def median(key: str) -> float:
        return float(means.median(launch.opened[key] for launch in launches))

    base = launches[0].opened["base_rss_mb"]
    peaks = [launch.ended["peak_rss_mb"] for launch in launches if launch.ended["peak_rss_mb"] is not None]
    return {
        "import_ms": median("import_ms"),
        "compile_ms": median("compile_ms"),
        "load_ms": means.median(launch.opened["import_ms"] + launch.opened["compile_ms"] for launch in launches),
        "first_ms": median("first_ms"),
        "warmup_ms": means.median(launch.warmed["seconds"] * 1e3 for launch in launches),
        "warmed_up": all(launch.warmed["stable"] for launch in launches),
        "peak_rss_mb": max(peaks) if peaks else None,
        "base_rss_mb": base,
    }


def speedup(reference: list[Launch], candidate: list[Launch]) -> tuple[float, float, float]:
    """The speed-up and the ends of its interval, from the slices that were taken in the same rounds.

    Of the time that a call takes from the caller's view: with several streams, of wall time for each call.
    """
    return statistics.speedup(slice_costs(reference), slice_costs(candidate))


def slice_costs(launches: list[Launch]) -> statistics.Times:
    """Milliseconds that one call costs, ``[launches, rounds]``: the median, divided by the calls under way at once."""
    rows = []
    for launch in launches:
        medians = [float(np.median(times)) for times in launch.times_ms()]
        at_once = [max(1.0, sum(t["calls_ns"]) / t["wall_ns"]) for t in launch.slices]
        rows.append([median / streams for median, streams in zip(medians, at_once, strict=True)])
    return np.array(rows)


def accuracy(bundle: Bundle) -> Accuracy | None:
    """What the bundle's proof says on its largest set; None without a proof."""
    if bundle.manifest.proof is None:
        return None
    record = summarize(bundle, bundle.manifest.proof)
    if any(note.startswith("random weights") for note in bundle.manifest.source.notes):
        # They agree with their reference or not, but are right about nothing.
        record["figures"] = {}
    return Accuracy(**{name: record[name] for name in Accuracy.model_fields})


def with_layers(
    results: list[Result],
    candidates: list[Candidate],
    bundles: dict[str, Bundle],
    settings: BenchSettings,
    progress: Progress,
) -> tuple[list[Result], list[Peaks], list[str]]:
    """The same results with a breakdown by part, the peaks by target, and why either is missing."""
    peaks: dict[str, Peaks] = {}
    notes: list[str] = []
    completed = []
    pairs = list(zip(results, candidates, strict=True))
    for result, candidate in progress.track(pairs, "asking the runtimes where the time goes", len(pairs)):
        if candidate.kind != "bundle":
            completed.append(result)
            continue
        try:
            with start_worker(candidate, settings) as worker:
                if result.target not in peaks:
                    peaks[result.target] = Peaks(target=result.target, **worker.ask("peaks"))
                config = bundles[candidate.bundle].manifest.source.config
                layers = placed(Layers(**worker.ask("layers")), result, config, peaks[result.target])
            completed.append(result.model_copy(update={"layers": layers}))
            if any((part.of_compute or 0) > IMPOSSIBLE for part in layers.parts):
                notes.append(
                    f"{candidate.name}: faster than the peak that was measured: the machine was busy meanwhile"
                )
        except EngineError as error:
            notes.append(f"{candidate.name}: no breakdown by part: {error.message}")
            completed.append(result)
    return completed, list(peaks.values()), notes


def recorded(settings: BenchSettings) -> RecordedSettings:
    """The settings as the document records them: an image by its name alone."""
    values = settings.to_json()
    del values["warmup_s"]
    values["image"] = Path(settings.image).name if settings.image else None
    return RecordedSettings(
        **values,
        boundary_text=BOUNDARIES[settings.boundary],
        scenario=settings.scenario,
        rounds=settings.rounds,
        confidence=statistics.CONFIDENCE,
    )
