"""What an export is asked to do, as data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dmformer.manifest import Precision, Tolerance

DEFAULT_OUTPUT = Path("build")
GOLDEN_IMAGES = 32
DEFAULT_OPSET = 20


@dataclass(frozen=True)
class ExportOptions:
    """The choices of one export; the defaults are what most people want.

    Attributes:
        targets: Names in `dmformer.runtimes.registry.RUNTIMES`.
        precision: ``fp32``, ``fp16`` or ``int8``.
        size: Height and width of the input; None keeps the checkpoint's.
        batch: Images in a batch.
        dynamic: Leave the batch dimension open.
        opset: ONNX operator set.
        simplify: Run onnxsim.
        canonical: Fold BatchNorm and layer scale before the export; off only to compare with the plain graph.
        output: Bundles are written as ``output/<model>-<target>-<precision>/``.
        force: Replace bundles that exist.
        data: Labelled images to verify on; None takes the embedded test set for the embedded checkpoint.
        max_images: Verify on at most this many of them, spread evenly; None takes all.
        golden_images: How many samples travel in the bundle.
        tolerance: What must hold; None takes the precision's default.
        device: Where the engine is tried and verified; the runtimes of today know ``cpu``.
    """

    targets: tuple[str, ...] = ("onnxruntime",)
    precision: Precision = "fp32"
    size: tuple[int, int] | None = None
    batch: int = 1
    dynamic: bool = False
    opset: int = DEFAULT_OPSET
    simplify: bool = True
    canonical: bool = True
    output: Path = DEFAULT_OUTPUT
    force: bool = False
    data: Path | None = None
    max_images: int | None = None
    golden_images: int = GOLDEN_IMAGES
    tolerance: Tolerance | None = None
    device: str = "cpu"
