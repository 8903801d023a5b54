"""What a Core ML package is built with: data that travels in a request, checked before any work is done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from dmformer.errors import EngineError, UsageError
from dmformer.fields import Strict
from dmformer.geometry import TOTAL_STRIDE
from dmformer.manifest import Manifest
from dmformer.model.config import ModelConfig
from dmformer.preprocessing import MAX_SIDE, Preprocessing
from dmformer.tasks.base import ClassMap

Int8 = Literal["w8a8", "w8a16"]
INT8: tuple[Int8, ...] = ("w8a8", "w8a16")
Target = Literal["iOS15", "iOS16", "iOS17", "iOS18"]
TARGETS: tuple[Target, ...] = ("iOS15", "iOS16", "iOS17", "iOS18")
"""Deployment targets; macOS 12 to 15 know the same operators."""
NEEDED: dict[str, Target] = {"float": "iOS15", "w8a16": "iOS16", "w8a8": "iOS17"}
"""The first system with the operators: ML Programs, ``constexpr_affine_dequantize``, ``quantize``."""
ComputeUnits = Literal["all", "cpu", "cpu-and-gpu", "cpu-and-ne"]
COMPUTE_UNITS: tuple[ComputeUnits, ...] = ("all", "cpu", "cpu-and-gpu", "cpu-and-ne")
MAX_SHAPES = 128
"""Core ML takes as many enumerated shapes."""
Batch = Annotated[int, Field(ge=1, le=4096)]
Side = Annotated[int, Field(ge=TOTAL_STRIDE, le=MAX_SIDE, multiple_of=TOTAL_STRIDE)]
Size = tuple[Side, Side]
SIZES_OPTION = "sizes"
"""Of the manifest's ``runtime.options``: set where a package takes several."""
Text = Annotated[str, Field(max_length=4096)]


class PackagePlan(Strict):
    """How a package is built.

    Attributes:
        int8: ``w8a8`` (weights and activations) or ``w8a16`` (weights only) where the precision is INT8.
        classifier: Whether it gives a label and probabilities besides the logits.
        tensor_input: Take a preprocessed tensor even where an image could be taken.
        deployment_target: The oldest system; None takes the oldest that has the operators.
        batches: Batch sizes that it takes.
        sizes: Heights and widths that it takes besides the model's own.
        compute_units: What an application should let it run on; it is how the bundle is opened on a Mac too.
        author: Goes into the package's metadata; likewise `license`.
    """

    int8: Int8 = "w8a8"
    classifier: bool = False
    tensor_input: bool = False
    deployment_target: Target | None = None
    batches: Annotated[tuple[Batch, ...], Field(min_length=1, max_length=MAX_SHAPES)] = (1,)
    sizes: tuple[Size, ...] = ()
    compute_units: ComputeUnits = "all"
    author: Text = ""
    license: Text = ""

    @model_validator(mode="after")
    def _a_classifier_takes_one_image(self) -> PackagePlan:
        if self.classifier and self.batches != (1,):
            raise ValueError("a classifier takes one image at a time")
        return self

    @model_validator(mode="after")
    def _not_too_many_shapes(self) -> PackagePlan:
        shapes = len(self.batches) * (1 + len(self.sizes))
        if shapes > MAX_SHAPES:
            raise ValueError(f"{shapes} shapes are more than the {MAX_SHAPES} that Core ML takes")
        return self

    @property
    def image_input(self) -> bool:
        """Whether the package takes an image: Core ML takes one at a time."""
        return self.batches == (1,) and not self.tensor_input


class PackageRequest(Strict):
    """A plan with the model that it is for: what a build needs besides the weights.

    Attributes:
        plan: The plan.
        config: The network; the weights are those of its canonical form.
        preprocessing: Size and normalization.
        labels: Of a classifier.
        class_map: How the package decides itself at every pixel.
        layers: Modules whose weights become int8, in the order of the computation.
        ranges: Low and high end of each such module's input, for W8A8.
        metadata: Goes into the package.
    """

    plan: PackagePlan
    config: ModelConfig
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None = None
    class_map: ClassMap | None = None
    layers: tuple[str, ...] = ()
    ranges: dict[str, tuple[float, float]] = Field(default_factory=dict)
    metadata: dict[str, str] = Field(default_factory=dict)


def make_plan(**options: object) -> PackagePlan:
    """A plan; None and what is missing stand for the default.

    Raises:
        UsageError: A value that is not possible.
    """
    try:
        return PackagePlan.model_validate({name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])).replace("_", "-")
        what = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"the Core ML package cannot be built so: {where + ': ' if where else ''}{what}") from error


def all_sizes(plan: PackagePlan, preprocessing: Preprocessing) -> tuple[Size, ...]:
    """Every height and width that a package takes: the model's own, then the others, each once."""
    return tuple(dict.fromkeys([preprocessing.size, *plan.sizes]))


def size_names(sizes: Iterable[tuple[int, int]]) -> str:
    """As ``224x224,192x256``, height first."""
    return ",".join(f"{height}x{width}" for height, width in sizes)


def sizes_of(manifest: Manifest) -> tuple[tuple[int, int], ...]:
    """The heights and widths that a bundle's package takes, the model's own first.

    Raises:
        EngineError: The manifest's list is none.
    """
    listed = manifest.runtime.options.get(SIZES_OPTION)
    if listed is None:
        return (manifest.preprocessing.size,)
    try:
        return tuple((int(height), int(width)) for height, width in (name.split("x") for name in listed.split(",")))
    except ValueError as error:
        raise EngineError(f"manifest.json: the sizes {listed[:80]!r} are no list", "export it again") from error


def deployment_target(plan: PackagePlan, precision: str) -> tuple[Target, str | None]:
    """The deployment target, and a sentence where it had to be raised above what was asked for.

    Args:
        plan: Says what was asked for.
        precision: ``fp32``, ``fp16`` or ``int8``.
    """
    kind = plan.int8 if precision == "int8" else "float"
    needed = NEEDED[kind]
    target = plan.deployment_target or needed
    if TARGETS.index(target) >= TARGETS.index(needed):
        return target, None
    return needed, f"{kind} needs the operators of {needed}: the deployment target is raised from {target}"
