"""``dmformer bench``."""

from __future__ import annotations

from dmformer.cli.bench_tables import show, show_devices
from dmformer.cli.declare import Command
from dmformer.cli.on import Travels
from dmformer.pipeline.requests import BenchOptions

BENCH = Command(
    "bench",
    BenchOptions,
    "dmformer.pipeline.measurement:bench",
    show,
    """Measure bundles side by side, each in a process of its own, against PyTorch.

    Candidates take turns in short slices, so that what disturbs the machine hits all alike. p90 is given from 64
    samples up, p99 from 662, as MLPerf does. Intervals are at 99 % confidence.
    """,
    (
        ("dmformer bench build/*", "every bundle against PyTorch, side by side"),
        ("dmformer bench BUNDLE --against none --threads 1", "on a device without torch"),
        ("dmformer bench BUNDLE --streams 4 --duration 10", "throughput"),
        ("dmformer bench BUNDLE --boundary file --image street.jpg --fps 30", "a camera, from file to answer"),
        ("dmformer bench build/* --on jetson --on user@board", "on other machines, over SSH"),
        ("dmformer bench build/* -o bench.json && dmformer report report.html bench.json", "a page for the customer"),
    ),
    keep="dmformer.pipeline.measurement:keep",
    travels=Travels(
        stays=("output", "force"),
        measures=True,
        prepare="dmformer.pipeline.measurement:for_device",
        show=show_devices,
    ),
)
