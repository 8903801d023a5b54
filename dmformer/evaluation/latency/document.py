"""What a measurement leaves behind: the document ``dmformer.bench/2``.

Pydantic models, because `compare` and `report` read it from files that anybody may have written.
``docs/bench.schema.json`` is this module's JSON Schema; a test keeps the two equal.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from dmformer.documents import Document as Answer
from dmformer.environment import Count, Environment, Ratio, Text
from dmformer.evaluation.latency.accuracy import Accuracy
from dmformer.evaluation.latency.settings import Boundary
from dmformer.evaluation.power.records import PowerDraw, Temperature
from dmformer.fields import Share, Strict
from dmformer.texts import plain

SCHEMA = "dmformer.bench/2"
EVALUATOR, NO_DEVICE = "evaluator", "not a device"
"""Provider of sessions that only evaluate a program, as the Core ML one off a Mac, and what is said of them."""

MAX_COMMAND = 1 << 16
"""Characters: it may name hundreds of bundles."""

Command = Annotated[str, AfterValidator(lambda text: plain(text, MAX_COMMAND))]
Milliseconds = Annotated[float, Field(ge=0, le=1e12)]
Positive = Annotated[float, Field(ge=1e-9, le=1e12)]
"""Times and rates that charts divide by or take the logarithm of."""
Rate = Annotated[float, Field(ge=0, le=1e15), AfterValidator(lambda rate: rate if rate > 1e-9 else 0.0)]
Natural = Annotated[int, Field(ge=1, le=1 << 62)]
Dimension = Annotated[int, Field(ge=1, le=1 << 31)]
Launched = Annotated[tuple[Positive, ...], Field(min_length=2, max_length=1024)]


class RecordedSettings(Strict):
    """What was asked for.

    Attributes:
        boundary: What is inside the measured time, and in words ``boundary_text``.
        scenario: How the frames came, in words.
        duration_s: Measured seconds for each candidate; ``iterations`` calls at least.
        launches: How often each candidate was started anew.
        rounds: Slices of each candidate in a launch, one after another in a shuffled order.
        threads: Inside one inference; 0: the runtime's choice.
        streams: Inferences at the same time.
        fps: Frames a second of a paced camera.
        image: Name of the image file that was fed; None: the golden samples.
        tile: Part of a window that the next one covered again; None: pictures as a whole.
        confidence: Of every interval, 0 to 1.
    """

    boundary: Boundary
    boundary_text: Text
    scenario: Text
    duration_s: Ratio
    iterations: Count
    launches: Count
    rounds: Count
    threads: Count
    streams: Count
    fps: Ratio | None
    image: Text | None
    tile: Share | None = None
    device: Text
    seed: Annotated[int, Field(ge=-(1 << 62), le=1 << 62)]
    confidence: Share


class Histogram(Strict):
    """All samples: counts between logarithmic edges in milliseconds, one edge more than counts."""

    edges_ms: Annotated[tuple[Positive, ...], Field(min_length=2, max_length=1025)]
    counts: Annotated[tuple[Count, ...], Field(min_length=1, max_length=1024)]

    @model_validator(mode="after")
    def _edges_enclose_counts(self) -> Histogram:
        if len(self.edges_ms) != len(self.counts) + 1 or list(self.edges_ms) != sorted(self.edges_ms):
            raise ValueError("edges must rise and be one more than counts")
        return self


class PartTime(Strict):
    """One part of the model (stem, DMA levels, FFN, ...) as the runtime's own profiler saw it.

    Attributes:
        part: Its name.
        ms: Milliseconds of one inference; ``share`` of the sum over all parts, 0 to 1.
        precision: What its time was spent in, the most first, as ``{"float32": 0.9, "int8": 0.1}``.
        layers: How many nodes of the runtime.
        macs: Multiply-accumulates of one call; ``moved_bytes`` the least bytes that they read and write.
        gmacs_per_s: Achieved; ``of_compute`` and ``of_memory`` as shares of this machine's measured peaks.
        bound: What limits it at most: ``compute``, ``memory``, or ``overhead`` where its layers are so small that
            neither is near; None for parts whose work is not known.
    """

    part: Text
    ms: Milliseconds
    share: Share
    precision: Annotated[dict[Text, Share], Field(max_length=16)]
    layers: Count
    macs: Count | None = None
    moved_bytes: Count | None = None
    gmacs_per_s: Rate | None = None
    of_compute: Ratio | None = None
    of_memory: Ratio | None = None
    bound: Literal["compute", "memory", "overhead"] | None = None

    @property
    def verdict(self) -> str:
        """The distance to the limit in words, as ``12 % of peak, memory bound``; empty where it is not known."""
        if self.bound is None or self.of_compute is None or self.of_memory is None:
            return ""
        return f"{max(self.of_compute, self.of_memory) * 100:.0f} % of peak, {self.bound} bound"


class Layers(Strict):
    """Where the time goes.

    Attributes:
        source: Who told.
        total_ms: Sum over all layers of one inference; profiling itself slows it down.
        parts: In the order of the model.
        slowest: The slowest single layers: name, kind, precision, milliseconds.
        note: What to know when reading it.
    """

    source: Text
    total_ms: Milliseconds
    parts: Annotated[tuple[PartTime, ...], Field(max_length=64)]
    slowest: tuple[tuple[Text, Text, Text, Milliseconds], ...] = ()
    note: Text | None = None


class Peaks(Strict):
    """What this machine gave at most, through one runtime, with the threads of the measurement.

    Attributes:
        target: The runtime.
        gmacs_per_s: Large matrix product, by the precision it ran in.
        threads: That copied at the same time.
        copies: Copying blocks that each thread has of its own: bytes of a block, and bytes that were read plus written,
            10^9 a second, all threads together. From small blocks, which stay in the caches, to large ones.
        copy_gb_per_s: The rate of the largest blocks; ``cache_gb_per_s`` the best of all.
    """

    target: Text
    gmacs_per_s: Annotated[dict[Text, Positive], Field(max_length=16)]
    copy_gb_per_s: Positive
    cache_gb_per_s: Positive
    copies: tuple[tuple[Natural, Positive], ...] = ()
    threads: Natural = 1


class Result(Strict):
    """One candidate. Times are milliseconds of one call of ``batch`` images, from all launches together.

    Attributes:
        name: What tables call it.
        kind: ``bundle``, ``pytorch`` or ``pytorch-compile``.
        target: Runtime; ``provider`` and ``executes`` as it reports them itself.
        precision: What was asked for when the bundle was made.
        family: Model and input size: only candidates of one family are compared.
        model: The model's name; ``input`` its shape.
        parameters: Of the model; ``macs`` its multiply-accumulates for an image. None where no PyTorch was measured
            beside it. ``classes`` is how many it knows.
        samples: Measured calls.
        p50_ms: Median. ``p90_ms``, ``p95_ms``, ``p99_ms``: MLPerf's early-stopping estimate at 99 % confidence, None
            where there are too few samples for it.
        cv: Coefficient of variation of the slices' medians.
        throughput_ips: Images a second.
        load_ms: From nothing to ready: ``import_ms`` (the library) and ``compile_ms`` (reading and compiling the
            engine, which runtimes do in one step); median of the launches. Likewise ``first_ms``, the first call.
        peak_rss_mb: Peak memory of its process, MiB; ``base_rss_mb`` before the runtime was loaded.
        engine_bytes: Size of what the runtime loads.
        speedup: Against ``reference``, with its interval ``speedup_ci``; None for the reference itself, and where an
            evaluator ran the engine.
        slices_ms: Median of each slice, by launch.
        late_frames: Paced frames that were not done when the next one came, 0 to 1.
        power: None where no sensor can be read, or none of its readings fell into a slice.
    """

    name: Text
    kind: Literal["bundle", "pytorch", "pytorch-compile"]
    target: Text
    provider: Text
    executes: Text
    precision: Text
    family: Text
    model: Text
    input: Annotated[tuple[Dimension, ...], Field(min_length=4, max_length=4)]
    batch: Dimension
    samples: Natural
    p50_ms: Positive
    p90_ms: Positive | None
    p95_ms: Positive | None
    p99_ms: Positive | None
    mean_ms: Milliseconds
    std_ms: Milliseconds
    min_ms: Milliseconds
    cv: Ratio
    throughput_ips: Ratio
    load_ms: Milliseconds
    import_ms: Milliseconds
    compile_ms: Milliseconds
    first_ms: Milliseconds
    warmup_ms: Milliseconds
    warmed_up: bool
    peak_rss_mb: Ratio | None
    base_rss_mb: Ratio | None
    engine_bytes: Count | None
    reference: Text | None
    speedup: Ratio | None
    speedup_ci: tuple[Ratio, Ratio] | None
    slices_ms: Annotated[tuple[Launched, ...], Field(min_length=1, max_length=30)]
    histogram: Histogram
    late_frames: Share | None = None
    accuracy: Accuracy | None = None
    layers: Layers | None = None
    bundle_sha256: Text | None = None
    notes: tuple[Text, ...] = ()
    parameters: Count | None = None
    macs: Count | None = None
    classes: Count | None = None
    power: PowerDraw | None = None

    @property
    def evaluated(self) -> bool:
        """Whether an evaluator ran it instead of a device: its times are compared with nothing."""
        return self.provider == EVALUATOR

    @property
    def versus(self) -> str:
        """The speed-up as tables show it."""
        if self.evaluated:
            return NO_DEVICE
        return "reference" if self.speedup is None else f"{self.speedup:.2f}x"


class Document(Answer):
    """One measurement of several candidates, taken side by side.

    Attributes:
        taken_at: By the clock of the machine that measured.
        device: What the user calls that machine; None where it was the one that was asked.
        temperature: None where the machine does not tell.
        no_power: Why its power is not readable; None where it is.
    """

    schema_: Annotated[str, Field(alias="schema", pattern=r"^dmformer\.bench/2$")] = SCHEMA
    taken_at: Text
    device: Text | None = None
    command: Command
    settings: RecordedSettings
    environment: Environment
    results: Annotated[tuple[Result, ...], Field(min_length=1, max_length=256)]
    peaks: tuple[Peaks, ...] = ()
    temperature: Temperature | None = None
    no_power: Text | None = None
    warnings: tuple[Text, ...] = ()
    notes: tuple[Text, ...] = ()
