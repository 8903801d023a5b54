"""What an export is asked to do, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dmformer.manifest import Precision, Tolerance
from dmformer.targets import DEFAULT

DEFAULT_OUTPUT = Path("build")
CPU_ISAS = ("amx", "avx512-vnni", "avx2-vnni", "avx512", "avx2", "arm64-i8mm", "arm64-dotprod", "arm64")
"""What the INT8 emitters know; a test keeps it equal to theirs, which needs onnx to be imported."""
GOLDEN_IMAGES = 32
DEFAULT_OPSET = 20


@dataclass(frozen=True)
class Int8Options:
    """How an INT8 engine is calibrated and planned.

    Attributes:
        calibration: Images to calibrate with; labels are not needed. None takes the embedded ones for the embedded
            checkpoint, otherwise the verification images.
        images: How many of them, spread evenly.
        method: How a range follows from the distribution of an activation.
        cpu_isa: Instruction set of the CPU that will run the engine; None takes this machine's.
        ranges: A ranges file of `dmformer calibrate`, in place of measuring.
        plan: A plan file, in place of the default plan and of the search for one.
        allow_random: Calibrate on random numbers where there are no images.
        use_cache: Look for ranges in the cache, and keep them there.
        cache: Its directory; None takes the user's.
    """

    calibration: Path | None = None
    images: int = 256
    method: Literal["minmax", "percentile", "mse", "entropy"] = "mse"
    cpu_isa: str | None = None
    ranges: Path | None = None
    plan: Path | None = None
    allow_random: bool = False
    use_cache: bool = True
    cache: Path | None = None


@dataclass(frozen=True)
class ExportOptions:
    """The choices of one export; the defaults are what most people want.

    Attributes:
        targets: Names in `dmformer.targets.TARGETS`.
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
        int8: Calibration and plan of an INT8 engine.
        build: What an engine for NVIDIA's libraries is built with: fields of
            `dmformer.runtimes.tensorrt.plan.BuildPlan`; None and what is missing stand for the default.
        coreml: What a Core ML package is built with: fields of `dmformer.runtimes.coreml.plan.PackagePlan`; None and
            what is missing stand for the default.
        timing_cache: File in which NVIDIA's builder keeps timings; None takes the user's own.
        embed_preprocessing: Let the engine take pixels, uint8 ``[N, H, W, C]``, and normalize them itself.
        device: Where the engine is tried and verified: ``cpu``, or for NVIDIA's libraries also ``cuda:1``.
    """

    targets: tuple[str, ...] = (DEFAULT,)
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
    int8: Int8Options = field(default_factory=Int8Options)
    build: Mapping[str, object] = field(default_factory=dict)
    coreml: Mapping[str, object] = field(default_factory=dict)
    timing_cache: Path | None = None
    embed_preprocessing: bool = False
    device: str = "cpu"
