"""Groups of options that requests are made of; see `dmformer.options`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from dmformer.errors import UsageError
from dmformer.options import Option
from dmformer.signatures import Plain

if TYPE_CHECKING:
    from dmformer.manifest import Tolerance

NVIDIA, COREML, TOLERANCE = "NVIDIA", "Core ML", "Tolerance"
PREPROCESSING = "Preprocessing, where the weights do not say it or say it wrong"
"""Panels of the help."""

Size = tuple[int, int]


def parse_size(sides: list[int]) -> Size:
    """``--imgsz 224``, or ``--imgsz 224,320`` (height, width).

    Raises:
        UsageError: More than two sides, or none.
    """
    if len(sides) not in (1, 2):
        raise UsageError(f"--imgsz was given {len(sides)} sides", "give one side of a square, or height and width")
    return (sides[0], sides[-1])


def parse_sizes(text: str) -> tuple[Size, ...]:
    """Heights and widths from ``192,256x320``.

    Raises:
        UsageError: It is no such list.
    """
    if not re.fullmatch(r"\d{1,5}(x\d{1,5})?(,\d{1,5}(x\d{1,5})?)*", text):
        raise UsageError(f"--sizes {text[:80]!r} is no list of sizes", "give it as 192,256x320")
    return tuple(parse_size([int(side) for side in name.split("x")]) for name in text.split(","))


def parse_floats(option: str, text: str) -> tuple[float, ...]:
    """Numbers with commas between them.

    Raises:
        UsageError: Something else.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"{option} {text!r} is not a list of numbers", f"for example: {option} 0.5,0.5,0.5") from error


def _numbers(flag: str, of: str) -> Option:
    return Option(flag, f"Per channel, of 0..1, as {of}.", PREPROCESSING, parse=partial(parse_floats, flag), typed=str)


@dataclass(frozen=True)
class PreprocessingOptions:
    """How training prepared images, over what the weights say; None leaves that.

    Attributes:
        mean: Per channel, of 0..1.
        std: Per channel, of 0..1.
        resize: ``exact``, ``shorter`` or ``letterbox``.
        resize_to: The shorter side before the centre crop.
        interpolation: ``nearest``, ``bilinear``, ``bicubic`` or ``lanczos``.
        channel_order: ``rgb``, ``bgr`` or ``grey``.

    Examples:
        >>> import dmformer
        >>> dmformer.ExportOptions(preprocessing=dmformer.PreprocessingOptions(resize="exact"))
        ExportOptions(preprocessing.resize='exact')
    """

    __signature__ = Plain()

    mean: Annotated[tuple[float, ...] | None, _numbers("--mean", "0.485,0.456,0.406")] = None
    std: Annotated[tuple[float, ...] | None, _numbers("--std", "0.229,0.224,0.225")] = None
    resize: Annotated[str | None, Option("--resize", "exact, shorter or letterbox.", PREPROCESSING)] = None
    resize_to: Annotated[
        int | None, Option("--resize-to", "The shorter side before the centre crop.", PREPROCESSING)
    ] = None
    interpolation: Annotated[
        str | None, Option("--interpolation", "nearest, bilinear, bicubic or lanczos.", PREPROCESSING)
    ] = None
    channel_order: Annotated[str | None, Option("--channel-order", "rgb, bgr or grey.", PREPROCESSING)] = None


def _nvidia(
    flags: str, words: str, default: str | None = None, parse: Callable[[Any], Any] | None = None, **bounds: int
) -> Option:
    limits = {"min": bounds.get("min"), "max": bounds.get("max")}
    return Option(flags, words, NVIDIA, default=default, parse=parse, **limits)


@dataclass(frozen=True)
class EngineOptions:
    """What an engine for NVIDIA's libraries is built with; what is None, off or empty is the library's own choice.

    Attributes:
        workspace_gib: GiB of scratch memory for the builder.
        optimization_level: 0 (fast build) to 5 (fast engine).
        min_batch: Smallest batch of an open one.
        opt_batch: The batch that the builder tunes for.
        max_batch: Largest batch of an open one.
        min_size: Smallest height and width of open ones.
        max_size: Largest height and width of open ones.
        portable: For other versions and later GPUs; slower.
        compute_capabilities: GPUs to build for ahead of time, as ``8.6``.
        dla_core: Of the deep learning accelerator.
        timing_cache: File in which the builder keeps timings; None takes the user's own.

    Examples:
        >>> import dmformer
        >>> dmformer.ExportOptions(build=dmformer.EngineOptions(max_batch=8), dynamic=True)
        ExportOptions(dynamic=True, build.max_batch=8)
    """

    __signature__ = Plain()

    workspace_gib: Annotated[
        float | None, _nvidia("--workspace", "GiB of scratch memory for the builder.", "the library's choice")
    ] = None
    optimization_level: Annotated[
        int | None, _nvidia("--opt-level", "0: fast build, 5: fast engine.", "3", min=0, max=5)
    ] = None
    min_batch: Annotated[int | None, _nvidia("--min-batch", "Smallest batch of an open one.", min=1)] = None
    opt_batch: Annotated[int | None, _nvidia("--opt-batch", "The batch to tune for.", min=1)] = None
    max_batch: Annotated[int | None, _nvidia("--max-batch", "Largest batch of an open one.", min=1)] = None
    min_size: Annotated[
        Size | None, _nvidia("--min-imgsz", "Smallest of open heights and widths.", "32", parse=parse_size)
    ] = None
    max_size: Annotated[
        Size | None, _nvidia("--max-imgsz", "Largest of open heights and widths.", "twice the usual", parse=parse_size)
    ] = None
    portable: Annotated[bool, _nvidia("--portable", "An engine for other versions and later GPUs; slower.")] = False
    compute_capabilities: Annotated[
        tuple[str, ...],
        _nvidia(
            "--compute-capability",
            "GPUs to build for ahead of time, as 8.6,8.9 (tensorrt-rtx).",
            "8.0, 8.6, 8.9, 12.0 and later",
        ),
    ] = ()
    dla_core: Annotated[int | None, _nvidia("--dla", "Core of the deep learning accelerator (Orin).", min=0)] = None
    timing_cache: Annotated[
        Path | None, _nvidia("--timing-cache", "File with the builder's timings.", "in the user's cache")
    ] = None

    def plan(self) -> dict[str, Any]:
        """What was asked for, as fields of `dmformer.runtimes.tensorrt.plan.BuildPlan`."""
        return {name: value for name, value in non_defaults(self).items() if name != "timing_cache"}


def _coreml(flags: str, words: str, default: str | None = None, parse: Callable[[str], Any] | None = None) -> Option:
    return Option(flags, words, COREML, default=default, parse=parse, typed=None if parse is None else str)


@dataclass(frozen=True)
class CoreMlOptions:
    """What a Core ML package is built with: fields of `dmformer.graph.coreml.plan.PackagePlan`.

    Attributes:
        int8: ``w8a8`` (weights and activations) or ``w8a16`` (weights alone), where the precision is INT8.
        classifier: Give a label and probabilities besides the logits.
        tensor_input: Take a preprocessed tensor, not an image.
        sizes: Heights and widths that it takes besides the model's own.
        deployment_target: Oldest system, ``iOS15`` to ``iOS18``; None takes the oldest possible.
        compute_units: ``all``, ``cpu``, ``cpu-and-gpu`` or ``cpu-and-ne``; None means all.
        author: Goes into the package's metadata.
        license: Goes into the package's metadata.

    Examples:
        >>> import dmformer
        >>> dmformer.ExportOptions(coreml=dmformer.CoreMlOptions(compute_units="cpu-and-ne"))
        ExportOptions(coreml.compute_units='cpu-and-ne')
    """

    __signature__ = Plain()

    int8: Annotated[
        Literal["w8a8", "w8a16"],
        Option("--w8a16", "INT8 for weights only (iOS 16); --int8 alone is W8A8 (iOS 17).", COREML, const="w8a16"),
    ] = "w8a8"
    classifier: Annotated[bool, _coreml("--classifier", "A label and probabilities besides the logits.")] = False
    tensor_input: Annotated[bool, _coreml("--tensor-input", "Take a preprocessed tensor, not an image.")] = False
    sizes: Annotated[
        tuple[Size, ...],
        _coreml(
            "--sizes",
            "Sizes that it takes besides --imgsz, as 192,256x320 (height x width).",
            "none",
            parse_sizes,
        ),
    ] = ()
    deployment_target: Annotated[
        str | None,
        _coreml(
            "--deployment-target",
            "Oldest system: iOS15 to iOS18; raised where the precision needs a later one.",
            "the oldest possible",
        ),
    ] = None
    compute_units: Annotated[
        str | None, _coreml("--compute-units", "all, cpu, cpu-and-gpu or cpu-and-ne (the Neural Engine).", "all")
    ] = None
    author: Annotated[str | None, _coreml("--author", "Goes into the package's metadata.")] = None
    license: Annotated[str | None, _coreml("--license", "Goes into the package's metadata.")] = None


def _tolerance(flags: str, words: str, **bounds: int) -> Option:
    return Option(flags, words, TOLERANCE, min=bounds.get("min"), max=bounds.get("max"))


@dataclass(frozen=True)
class ToleranceOptions:
    """What an engine must keep, over what its precision is held to; None leaves that.

    Attributes:
        max_error: Largest difference of a logit, relative to the largest logit.
        min_agreement: Smallest share of equal top-1, 0 to 1.
        min_sqnr: Smallest signal to quantization noise ratio, dB.
        max_drop: Largest loss of top-1, percentage points.

    Examples:
        >>> import dmformer
        >>> dmformer.ExportOptions(tolerance=dmformer.ToleranceOptions(max_drop=0.5))
        ExportOptions(tolerance.max_drop=0.5)
    """

    __signature__ = Plain()

    max_error: Annotated[
        float | None, _tolerance("--max-error", "Largest difference of a logit, relative to the largest logit.")
    ] = None
    min_agreement: Annotated[
        float | None, _tolerance("--min-agreement", "Smallest share of equal top-1.", min=0, max=1)
    ] = None
    min_sqnr: Annotated[float | None, _tolerance("--min-sqnr", "Smallest signal to quantization noise ratio, dB.")] = (
        None
    )
    max_drop: Annotated[float | None, _tolerance("--max-drop", "Largest loss of top-1, percentage points.")] = None

    def over(self, base: Tolerance) -> Tolerance:
        """What must hold: the base with what is not None.

        Args:
            base: What a precision is held to, or what a bundle was exported with.

        Raises:
            UsageError: A value is no number, or out of range.
        """
        from dmformer.evaluation.tolerances import with_overrides

        return with_overrides(
            base,
            max_abs_error=self.max_error,
            min_agreement=self.min_agreement,
            min_sqnr_db=self.min_sqnr,
            max_drop=self.max_drop,
        )


def non_defaults(group: Any) -> dict[str, Any]:
    """The fields of a group that are not their defaults."""
    values = {entry.name: getattr(group, entry.name) for entry in fields(group)}
    return {entry.name: values[entry.name] for entry in fields(group) if values[entry.name] != entry.default}
