"""``dmformer export``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmformer.cli.declare import Command
from dmformer.cli.on import Travels
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.settling import settled

if TYPE_CHECKING:
    from dmformer.pipeline.exporting import ExportDocument


def show(document: ExportDocument) -> None:
    """The table of the bundles."""
    from dmformer.cli.bench_tables import show_devices
    from dmformer.cli.output import print_failures, print_summaries
    from dmformer.evaluation.latency.document import Document

    print_summaries(document.bundles)
    proven = [(name, record) for name, device in document.devices.items() for record in device.bundles]
    if proven:
        print_summaries([record for _, record in proven], [name for name, _ in proven])
    if latencies := {name: device.latency for name, device in document.devices.items() if device.latency}:
        show_devices({name: Document.model_validate(one) for name, one in latencies.items()})
    for name, device in document.devices.items():
        print_failures(name, device.failures)


EXPORT = Command(
    "export",
    ExportOptions,
    "dmformer.pipeline.exporting:export",
    show,
    """Export weights to engines, and verify each against PyTorch.

    Exit code 0: verified. 1: built, but below the tolerance; kept under a name ending in .rejected. 2: wrong input.
    """,
    (
        ("dmformer export", "the embedded checkpoint, for ONNX Runtime"),
        ("dmformer export best.pt --target openvino --half", "your weights, stored as FP16"),
        ("dmformer export best.pt --target all --data val/ --json", "every runtime here, verified on your images"),
        ("dmformer export best.pt --target coreml --classifier", "for Xcode: image in, label and probabilities out"),
        ("dmformer export --preset small --random-weights --imgsz 224", "only to see the speed"),
        ("dmformer export best.pt -t tensorrt --int8 --on jetson", "built, verified and measured there, over SSH"),
        ("dmformer export --config BUNDLE -o again", "the same bundle once more, by the options in its manifest"),
    ),
    settle=settled,
    written=True,
    travels=Travels(by="dmformer.pipeline.export_on:export_on"),
)
