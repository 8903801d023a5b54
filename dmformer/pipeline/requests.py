"""What the commands besides ``export`` are asked, as data; see `dmformer.options`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from dmformer.common_options import Bundled, Data, Device, ForceFile, MaskOptions, MaxImages, Threads, Tile
from dmformer.evaluation.latency.settings import BenchSettings
from dmformer.options import Only, Option
from dmformer.pipeline.option_groups import EngineOptions, Size, ToleranceOptions, parse_size
from dmformer.pipeline.options import DynamicSize, ImageSize, Int8Options
from dmformer.pipeline.weights_options import HeadKind, TaskName, WeightsKey, WeightsOptions
from dmformer.targets import DEFAULT


@dataclass(frozen=True)
class EmbedOptions:
    """A project to write around an engine.

    Attributes:
        bundle: The bundle's directory.
        lang: One of `dmformer.embedding.languages.LANGUAGES`.
        output: The directory to make.
        force: Replace a project there to which nothing was added.
        name: Of the project: the page's title, C++'s namespace; None takes that of ``output``.
    """

    bundle: Bundled
    lang: Annotated[str, Option("--lang -l", "Language of the application.")]
    output: Annotated[Path, Option("--output -o", "Directory to make.")]
    force: Annotated[bool, Option("--force", "Replace a project at --output.")] = False
    name: Annotated[str | None, Option("--name", "Name: page title, namespace. Default: that of --output.")] = None


@dataclass(frozen=True)
class PredictOptions:
    """Images to answer.

    Attributes:
        bundle: The bundle's directory.
        images: Files.
        top_k: Classes to tell for each image.
        tile: Part of a window that the next one covers again; None shows pictures to the engine as a whole.
        overlay: Where the answer drawn over its image goes: a file for one image, a directory for several.
        threads: Inside one inference; 0 leaves the choice to the runtime.
        device: The runtime's name of a device.
    """

    bundle: Bundled
    images: Annotated[tuple[Path, ...], Option("images", "Image files.")]
    top_k: Annotated[int, Option("--top-k -k", "Classes to show for each image.", min=1)] = 5
    tile: Tile = None
    overlay: Annotated[
        Path | None,
        Option("--overlay", "Draw the answer over its image: a file for one image, a directory for several."),
    ] = None
    threads: Threads = 0
    device: Device = "cpu"


@dataclass(frozen=True)
class CompareOptions:
    """Two measurements to compare.

    Attributes:
        before: What ``dmformer bench`` wrote earlier; ``after`` likewise later.
        tolerance: How much slower is allowed, as a share.
        max_drop: How much top-1 or agreement may fall, percentage points.
    """

    before: Annotated[Path, Option("before", "The earlier report: JSON of bench.")]
    after: Annotated[Path, Option("after", "The later one.")]
    tolerance: Annotated[float, Option("--tolerance", "How much slower is allowed: 0.05 is 5 %.", min=0)] = 0.05
    max_drop: Annotated[
        float, Option("--max-drop", "How much top-1 or agreement may fall, percentage points.", min=0)
    ] = 0.1


@dataclass(frozen=True)
class CacheOptions:
    """The cached ranges.

    Attributes:
        clear: Remove every entry.
    """

    clear: Annotated[bool, Option("--clear", "Remove every entry.")] = False


@dataclass(frozen=True)
class DoctorOptions:
    """What this machine can do: nothing is asked besides."""


@dataclass(frozen=True)
class CalibrateOptions:
    """Ranges to measure.

    Attributes:
        output: The file to write.
        int8: The images, and how ranges follow from them.
        size: Height and width of the input; None keeps the checkpoint's.
        dynamic_size: For an input of open height and width: calibrate at half and twice the size too.
        weights: Which weights.
        force: Replace a file that exists.
    """

    output: Annotated[Path, Option("--output -o", "The ranges file to write.")] = Path("ranges.json")
    int8: Annotated[Int8Options, Only("calibration", "images", "method", "allow_random", "use_cache")] = field(
        default_factory=Int8Options
    )
    size: ImageSize = None
    dynamic_size: DynamicSize = False
    weights: WeightsOptions = field(default_factory=WeightsOptions)
    force: Annotated[bool, Option("--force", "Replace a file that exists.")] = False


@dataclass(frozen=True)
class VerifyOptions:
    """A bundle to check, and what to check it with.

    Attributes:
        bundle: Its directory.
        data: Images; None takes the embedded test set for bundles of the embedded checkpoint.
        max_images: Keep at most this many, spread evenly.
        masks: What the values of masks mean.
        tile: Part of a window that the next one covers again; None shows pictures to the engine as a whole.
        weights: The bundle's weights, for PyTorch's answers on the images.
        threads: Inside one inference; 0 leaves the choice to the runtime.
        device: The runtime's name of a device.
        tolerance: What must hold, over what the bundle was exported with.
        per_layer: Also tell the error of every layer, and where it jumps.
        reference: With `per_layer`: an FP32 bundle of the same weights, where PyTorch is not at hand.
    """

    bundle: Bundled
    data: Data = None
    max_images: MaxImages = None
    masks: MaskOptions = field(default_factory=MaskOptions)
    tile: Tile = None
    weights: Annotated[
        Path | None, Option("--weights", "The bundle's weights, to compare with PyTorch on --data; needs torch.")
    ] = None
    threads: Threads = 0
    device: Device = "cpu"
    tolerance: ToleranceOptions = field(default_factory=ToleranceOptions)
    per_layer: Annotated[bool, Option("--per-layer", "Also tell the error of every layer, and where it jumps.")] = False
    reference: Annotated[
        Path | None,
        Option("--reference", "With --per-layer: an FP32 bundle of the same weights, where PyTorch is not at hand."),
    ] = None


@dataclass(frozen=True)
class ReportOptions:
    """A page to make.

    Attributes:
        out: The page to write; the other files lie beside it.
        inputs: Measurements (files) and bundles (directories), in any order.
        title: Of the page; None names the model.
        data: Images on which answers are compared; see `VerifyOptions`.
        max_images: Keep at most this many, spread evenly.
        masks: What the values of masks mean.
        weights: What the bundles were made from, for PyTorch's answers.
        markdown: Also write Markdown; likewise `csv`.
        html: Write the page itself; needs matplotlib.
        force: Replace files there.
    """

    out: Annotated[Path, Option("out", "The page to write: OUT.html.")]
    inputs: Annotated[tuple[Path, ...], Option("inputs", "JSON of bench, and bundles whose changed answers to show.")]
    title: Annotated[str | None, Option("--title", "Of the page.", default="the model's name")] = None
    data: Data = None
    max_images: MaxImages = None
    masks: MaskOptions = field(default_factory=MaskOptions)
    weights: Annotated[Path | None, Option("--weights", "The bundles' weights, for PyTorch's answers on --data.")] = (
        None
    )
    markdown: Annotated[bool, Option("--markdown", "Also write OUT.md.")] = False
    csv: Annotated[bool, Option("--csv", "Also write OUT.csv.")] = False
    html: Annotated[bool, Option("--html/--no-html", "Write the page itself; needs matplotlib.")] = True
    force: ForceFile = False


@dataclass(frozen=True)
class BenchOptions:
    """What to measure side by side.

    Attributes:
        bundles: Directories; what else is among them is told and left out.
        against: The reference: ``pytorch``, ``pytorch-compile``, ``none``, or ``auto``: PyTorch where it is installed.
        weights: The bundles' weights, for PyTorch; None takes the embedded ones or random ones, which are as fast.
        batch: Images in a call; empty takes each bundle's own.
        settings: How to measure.
        layers: Also ask the runtimes where the time goes, and measure this machine's peaks.
        output: Where the document is kept.
        force: Replace a file there.
    """

    bundles: Annotated[tuple[Path, ...], Option("bundles", "Bundles: the directories that export made.")]
    against: Annotated[
        str, Option("--against", "The reference: pytorch, pytorch-compile or none. auto: pytorch if installed.")
    ] = "auto"
    weights: Annotated[
        Path | None, Option("--weights", "The bundles' weights, for PyTorch. Default: the embedded, or random ones.")
    ] = None
    batch: Annotated[
        tuple[int, ...],
        Option("--batch", "Images in a call; several sizes with commas.", min=1, default="the bundle's"),
    ] = ()
    settings: BenchSettings = field(default_factory=BenchSettings)
    layers: Annotated[
        bool,
        Option("--layers/--no-layers", "Ask the runtimes where the time goes, and measure this machine's peaks."),
    ] = True
    output: Annotated[Path | None, Option("--output -o", "Also write the JSON document to this file.")] = None
    force: ForceFile = False


SENSITIVITY, NAMES = "INT8 sensitivity", "Names of tensors"
"""Panels of the help."""


@dataclass(frozen=True)
class InspectOptions:
    """What to look into.

    Attributes:
        path: Weights, an ONNX file or a bundle; None takes the embedded checkpoint.
        size: Height and width to count for, where weights are inspected; None keeps the checkpoint's.
        preset: Look into a preset in place of a file: ``tiny``, ``small`` or ``large``.
        task: See `WeightsOptions`; likewise ``head`` and ``key``.
        names: Tell what each tensor is taken for, and why.
        names_out: File for rules that propose the rest, to be completed by hand; ``force`` replaces one there.
        sensitivity: Tell what INT8 costs and saves, by layer group.
        target: Whose rules hold then.
        granularity: ``stage`` (one kind of layer in one stage) or ``block`` (every group alone).
        picture: File to draw it into.
        data: Labelled images to measure it on; None takes the embedded test set for the embedded checkpoint.
        max_images: Measure on at most this many, spread evenly.
        masks: What the values of masks mean.
        int8: The images to calibrate with.
    """

    path: Annotated[
        Path | None, Option("path", "Weights, an ONNX file or a bundle. Default: the embedded checkpoint.")
    ] = None
    size: Annotated[
        Size | None,
        Option(
            "--imgsz",
            "Input size to count for, where weights are inspected.",
            default="the checkpoint's",
            parse=parse_size,
        ),
    ] = None
    preset: Annotated[str | None, Option("--preset", "Inspect a preset: tiny, small or large.")] = None
    task: TaskName = None
    head: HeadKind = None
    key: WeightsKey = None
    names: Annotated[bool, Option("--names", "What each tensor is taken for, and why.", NAMES)] = False
    names_out: Annotated[Path | None, Option("--names-out", "Write rules that propose the rest (TOML).", NAMES)] = None
    force: ForceFile = False
    sensitivity: Annotated[bool, Option("--sensitivity", "What INT8 costs and saves, by layer group.", SENSITIVITY)] = (
        False
    )
    target: Annotated[str, Option("--target -t", "The runtime to measure in.", SENSITIVITY)] = DEFAULT
    granularity: Annotated[
        Literal["stage", "block"],
        Option("--granularity", "stage, or block for every group alone.", SENSITIVITY),
    ] = "stage"
    picture: Annotated[Path | None, Option("--picture", "Draw it into a .svg, .png or .pdf.", SENSITIVITY)] = None
    data: Data = None
    max_images: MaxImages = None
    masks: MaskOptions = field(default_factory=MaskOptions)
    int8: Annotated[Int8Options, Only("calibration", "images", "allow_random")] = field(default_factory=Int8Options)


@dataclass(frozen=True)
class BuildOptions:
    """An engine to build on this machine.

    Attributes:
        bundle: A bundle for one of NVIDIA's libraries.
        output: Where the new bundle goes; None takes the bundle's own place.
        engine: What changes against the export.
        trtexec: Only tell NVIDIA's own command for this version of the library.
        force: Replace a bundle at `output`.
    """

    bundle: Annotated[Path, Option("bundle", "A bundle for tensorrt or tensorrt-rtx.")]
    output: Annotated[Path | None, Option("--output -o", "Write here.", default="in the place of the bundle")] = None
    engine: EngineOptions = field(default_factory=EngineOptions)
    trtexec: Annotated[str | None, Option("--trtexec", "Print the command for this version instead of building.")] = (
        None
    )
    force: Annotated[bool, Option("--force", "Replace a bundle at --output.")] = False
