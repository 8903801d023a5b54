"""``dmformer export``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmformer.cli.declare import Command
from dmformer.pipeline.options import ExportOptions
from dmformer.pipeline.settling import settled

if TYPE_CHECKING:
    from dmformer.pipeline.exporting import ExportDocument


def show(document: ExportDocument) -> None:
    """The table of the bundles."""
    from dmformer.cli.output import print_summaries

    print_summaries(document.bundles)


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
        ("dmformer export --config BUNDLE -o again", "the same bundle once more, by the options in its manifest"),
    ),
    settle=settled,
    written=True,
)
