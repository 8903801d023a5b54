"""What an export is asked to do, as data; see `dmformer.options`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from dmformer.common_options import Data, Device, MaskOptions, MaxImages
from dmformer.options import Option, said_of
from dmformer.pipeline.option_groups import (
    CoreMlOptions,
    EngineOptions,
    PreprocessingOptions,
    Size,
    ToleranceOptions,
    parse_size,
)
from dmformer.pipeline.weights_options import WeightsOptions
from dmformer.precision import Precision
from dmformer.signatures import Plain
from dmformer.targets import DEFAULT, TARGETS
from dmformer.texts import brief

if TYPE_CHECKING:
    from dmformer.manifest import Tolerance

GRAPH, INT8 = "Graph", "INT8"
"""Panels of the help."""
CpuIsa = Literal["amx", "avx512-vnni", "avx2-vnni", "avx512", "avx2", "arm64-i8mm", "arm64-dotprod", "arm64"]
CPU_ISAS: tuple[CpuIsa, ...] = get_args(CpuIsa)
"""What the INT8 emitters know; a test keeps it equal to theirs, which needs onnx to be imported."""
GOLDEN_IMAGES = 32
BUNDLES = Path("build")
"""Where bundles go, and are looked for, if nothing is said."""

ImageSize = Annotated[
    Size | None,
    Option(
        "--imgsz",
        "Input size, divisible by 32: a side, or height,width.",
        GRAPH,
        default="the checkpoint's",
        parse=parse_size,
    ),
]
DynamicSize = Annotated[
    bool, Option("--dynamic-size", "Leave height and width open, in steps of 32; --imgsz is the usual one.", GRAPH)
]


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

    Examples:
        >>> import dmformer
        >>> dmformer.ExportOptions(precision="int8", int8=dmformer.Int8Options(images=512))
        ExportOptions(precision='int8', int8.images=512)
    """

    __signature__ = Plain()

    calibration: Annotated[
        Path | None,
        Option(
            "--calibration",
            "Images to calibrate with, without labels. Default: the embedded ones for the embedded checkpoint, "
            "otherwise those of --data.",
            INT8,
        ),
    ] = None
    images: Annotated[int, Option("--images", "How many calibration images.", INT8, min=1)] = 256
    method: Annotated[
        Literal["auto", "minmax", "percentile", "mse"],
        Option("--method", "Ranges by minmax, percentile or mse; auto tries which.", INT8),
    ] = "auto"
    cpu_isa: Annotated[
        CpuIsa | None,
        Option(
            "--cpu-isa",
            "Instruction set of the CPU that will run it: amx, avx512-vnni, avx2-vnni, avx512, avx2, arm64-i8mm, "
            "arm64-dotprod or arm64.",
            INT8,
            default="this machine's",
        ),
    ] = None
    ranges: Annotated[Path | None, Option("--ranges", "Ranges that dmformer calibrate wrote.", INT8)] = None
    plan: Annotated[
        Path | None, Option("--plan", "Precision by layer group, as JSON; no other plan is searched.", INT8)
    ] = None
    allow_random: Annotated[
        bool, Option("--allow-random-calibration", "Calibrate on random numbers, where only speed matters.", INT8)
    ] = False
    use_cache: Annotated[bool, Option("--cache/--no-cache", "Reuse ranges of the same weights and images.", INT8)] = (
        True
    )
    cache: Path | None = None


@dataclass(frozen=True)
class ExportOptions:
    """The choices of one export; the defaults are what most people want.

    Attributes:
        targets: Names in `dmformer.targets.TARGETS`; ``all`` stands for those that can be built here.
        precision: ``fp32``, ``fp16`` or ``int8``. The command line chooses what is natural to the targets.
        size: Height and width of the input; None keeps the checkpoint's.
        batch: Images in a batch.
        dynamic: Leave the batch dimension open.
        dynamic_size: Leave height and width open, in steps of 32; ``size`` is what is verified and tuned for.
        simplify: Run onnxsim.
        opset: ONNX operator set.
        canonical: Fold BatchNorm and layer scale before the export; off only to compare with the plain graph.
        embed_preprocessing: Let the engine take pixels, uint8 ``[N, H, W, C]``, and normalize them itself.
        argmax: Let the engine of a segmenter decide itself: a second output with the class of every pixel.
        data: Labelled images to verify on; None takes the embedded test set for the embedded checkpoint.
        max_images: Verify on at most this many of them, spread evenly; None takes all.
        masks: What the values of masks mean.
        weights: Which weights, where the call names none.
        int8: Calibration and plan of an INT8 engine.
        preprocessing: How training prepared images, where the weights do not say it or say it wrong.
        output: Bundles are written as ``output/<model>-<target>-<precision>/``.
        build: What an engine for NVIDIA's libraries is built with.
        coreml: What a Core ML package is built with.
        force: Replace bundles that exist.
        device: Where the engine is tried and verified: ``cpu``, or for NVIDIA's libraries also ``cuda:1``.
        tolerance: What must hold, over the precision's default.
        golden_images: How many samples travel in the bundle.

    Examples:
        >>> import dmformer
        >>> dmformer.ExportOptions(precision="int8", batch=8)
        ExportOptions(precision='int8', batch=8)
    """

    __signature__ = Plain()

    targets: Annotated[
        tuple[str, ...],
        Option(
            "--target -t",
            f"{', '.join(TARGETS)} or all; several with commas, or given again.",
            default=DEFAULT,
        ),
    ] = (DEFAULT,)
    precision: Annotated[
        Precision,
        Option("--fp32", "Full precision (the default).", const="fp32"),
        Option("--half --fp16", "FP16 weights; the table says what executes.", const="fp16"),
        Option("--int8", "INT8, calibrated and verified; falls back layer by layer to hold --max-drop.", const="int8"),
    ] = "fp32"
    size: ImageSize = None
    batch: Annotated[int, Option("--batch", "Images in a batch.", GRAPH, min=1)] = 1
    dynamic: Annotated[bool, Option("--dynamic", "Leave the batch size open.", GRAPH)] = False
    dynamic_size: DynamicSize = False
    simplify: Annotated[bool, Option("--simplify/--no-simplify", "Run onnxsim on the graph.", GRAPH)] = True
    opset: Annotated[int, Option("--opset", "ONNX operator set, 20 or later.", GRAPH)] = 20
    canonical: Annotated[
        bool, Option("--canonical/--plain", "Fold BatchNorm and layer scale first (exact).", GRAPH)
    ] = True
    embed_preprocessing: Annotated[
        bool,
        Option(
            "--embed-preprocessing",
            "The engine takes pixels (uint8, NHWC, of its size) and normalizes them itself.",
            GRAPH,
        ),
    ] = False
    argmax: Annotated[
        bool,
        Option("--argmax", "The engine gives the class of every pixel as well, so that nobody copies scores.", GRAPH),
    ] = False
    data: Data = None
    max_images: MaxImages = None
    masks: MaskOptions = field(default_factory=MaskOptions)
    weights: WeightsOptions = field(default_factory=WeightsOptions)
    int8: Int8Options = field(default_factory=Int8Options)
    preprocessing: PreprocessingOptions = field(default_factory=PreprocessingOptions)
    output: Annotated[Path, Option("--output -o", "Bundles go to OUTPUT/<model>-<target>-<precision>/.")] = BUNDLES
    build: EngineOptions = field(default_factory=EngineOptions)
    coreml: CoreMlOptions = field(default_factory=CoreMlOptions)
    force: Annotated[bool, Option("--force", "Replace bundles that exist.")] = False
    device: Device = "cpu"
    tolerance: ToleranceOptions = field(default_factory=ToleranceOptions)
    golden_images: int = GOLDEN_IMAGES

    def __repr__(self) -> str:
        return brief("ExportOptions", said_of(self))

    def required(self) -> Tolerance:
        """What an engine must keep.

        Raises:
            UsageError: A value of `tolerance` is no number, or out of range.
        """
        from dmformer.evaluation.tolerances import DEFAULTS

        return self.tolerance.over(DEFAULTS[self.precision])
