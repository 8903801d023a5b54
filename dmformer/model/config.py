"""What a DMFormer is made of, as data: `ModelConfig` and the named presets.

Nothing in the code is tied to a preset: every width, depth, ratio, kernel and dilation is read from
a `ModelConfig`. This module needs no torch, so that bundles and the command line can use it anywhere.

Where the paper (Wei et al., "DMFormer", arXiv 2209.07738) fixes a value, the field says so. The
paper does not publish widths, depths, expansion or reduction ratios; those are this project's choice.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, ValidationError, model_validator

from dmformer.errors import UsageError
from dmformer.fields import TensorSpec
from dmformer.geometry import TOTAL_STRIDE
from dmformer.preprocessing import MAX_SIDE
from dmformer.tasks.base import Task
from dmformer.tasks.head import Channels, Head
from dmformer.tasks.registry import DEFAULT_HEAD, default_head, read_head, suited_head, task_of, with_head
from dmformer.texts import first_problem

STAGES, HEADLESS = 4, "features"

Depth = Annotated[int, Field(ge=1, le=128)]
Kernel = Annotated[int, Field(ge=1, le=31)]
Dilation = Annotated[int, Field(ge=1, le=16)]
Ratio = Annotated[float, Field(gt=0, le=32)]


class ModelConfig(BaseModel):
    """The complete description of one DMFormer network.

    Attributes:
        widths: Channels of the four stages (this project's choice).
        depths: Blocks of the four stages (this project's choice).
        expansion: N of DMA: its first 1x1 convolution maps C to N*C channels (the convolution is the
            paper's, the value of N this project's choice).
        ffn_ratios: Hidden width of the FFN over the stage's width, per stage (ratios per stage are the
            paper's, their values this project's choice).
        gate_reduction: The gate's hidden width is ``max(1, C // gate_reduction)`` (this project's choice).
        kernels: Kernel sizes of DMA's parallel depthwise levels (paper: 3, 5, 7).
        dilations: Dilations of the levels, one for each kernel (paper: 1, 2, 3).
        stem_width: Channels inside the stem; the last stem convolution gives ``widths[0]``
            (this project's choice).
        in_channels: Channels of the input image.
        head: What stands on the four stages; its kind decides the task.
        norm: ``"batch"`` puts BatchNorm before DMA, before the FFN, behind the level sum (the last is
            the paper's), in the stem and before the head. ``"none"`` leaves all of them out: the
            canonical form, in which every BatchNorm is folded into its neighbours.
        layer_scale: Whether each residual branch ends in a learned per-channel factor (this project's
            choice). The canonical form has none.
        stage_norms: Further BatchNorms, which code has that began as another network's: behind the ``stem``, ``before``
            or ``after`` each convolution between stages. The canonical form has none.
        conv_bias: Where convolutions in front of a BatchNorm have biases all the same, as PyTorch's own default is: in
            the ``stem``, in the ``levels``.

    Examples:
        >>> import dmformer
        >>> dmformer.ModelConfig(widths=(32, 64, 160, 256), depths=(3, 3, 5, 2)).classes
        1000
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    widths: Annotated[tuple[Channels, ...], Field(min_length=STAGES, max_length=STAGES)]
    depths: Annotated[tuple[Depth, ...], Field(min_length=STAGES, max_length=STAGES)]
    expansion: Annotated[int, Field(ge=1, le=16)] = 2
    ffn_ratios: Annotated[tuple[Ratio, ...], Field(min_length=STAGES, max_length=STAGES)] = (8, 8, 4, 4)
    gate_reduction: Annotated[int, Field(ge=1, le=1024)] = 2
    kernels: Annotated[tuple[Kernel, ...], Field(min_length=1, max_length=8)] = (3, 5, 7)
    dilations: Annotated[tuple[Dilation, ...], Field(min_length=1, max_length=8)] = (1, 2, 3)
    stem_width: Channels = 32
    in_channels: Annotated[int, Field(ge=1, le=64)] = 3
    head: Annotated[SerializeAsAny[Head], BeforeValidator(read_head)] = Field(default_factory=default_head)
    norm: Literal["batch", "none"] = "batch"
    layer_scale: bool = True
    stage_norms: tuple[Literal["stem", "before", "after"], ...] = ()
    conv_bias: tuple[Literal["stem", "levels"], ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _earlier_ones_name_no_head(cls, values: Any) -> Any:
        return with_head(values)

    @model_validator(mode="after")
    def _levels_are_paired_and_odd(self) -> ModelConfig:
        if len(self.kernels) != len(self.dilations):
            raise ValueError(
                f"{len(self.kernels)} kernels but {len(self.dilations)} dilations: give one dilation for each kernel"
            )
        if any(kernel % 2 == 0 for kernel in self.kernels):
            raise ValueError(f"kernels {self.kernels} must be odd, or the levels would not line up when summed")
        return self

    @property
    def classes(self) -> int:
        """How many classes the head tells apart."""
        return self.head.classes

    @property
    def task(self) -> Task:
        """What the head is for."""
        return task_of(self.head)

    @model_validator(mode="after")
    def _head_fits(self) -> ModelConfig:
        self.head.check(self.widths)
        return self

    def outputs(self, size: tuple[int, int] | None, batch: int | None = None) -> tuple[TensorSpec, ...]:
        """All that the network gives.

        Args:
            size: Height and width of the images; None leaves them open.
            batch: How many; None leaves that open.
        """
        if size is not None:
            return self.task.outputs(size, batch)
        small, large = (self.task.outputs((side, side), batch) for side in (TOTAL_STRIDE, 2 * TOTAL_STRIDE))
        return tuple(_open_where(one, other) for one, other in zip(small, large, strict=True))

    @property
    def is_canonical(self) -> bool:
        """Whether no BatchNorm and no layer scale is left in a network of this configuration."""
        return self == self.canonical()

    def ffn_width(self, stage: int) -> int:
        """Hidden channels of the FFN.

        Args:
            stage: 0 to 3.
        """
        return max(1, round(self.widths[stage] * self.ffn_ratios[stage]))

    def gate_width(self, stage: int) -> int:
        """Hidden channels of the gate.

        Args:
            stage: 0 to 3.
        """
        return max(1, self.widths[stage] // self.gate_reduction)

    def headless(self) -> ModelConfig:
        """The configuration of the backbone alone, which gives its four feature maps."""
        return self.model_copy(update={"head": suited_head(HEADLESS, self.widths, {})})

    def canonical(self) -> ModelConfig:
        """The configuration of the folded network: same shapes, no BatchNorm, no layer scale."""
        return self.model_copy(update={"norm": "none", "layer_scale": False, "stage_norms": (), "conv_bias": ()})


def _open_where(one: TensorSpec, other: TensorSpec) -> TensorSpec:
    """An output with the sides open in which it differs from another."""
    sides = zip(one.shape, other.shape, strict=True)
    return one.model_copy(update={"shape": tuple(own if own == their else None for own, their in sides)})


PRESETS: dict[str, ModelConfig] = {
    "tiny": ModelConfig(widths=(32, 64, 128, 192), depths=(2, 2, 4, 2), ffn_ratios=(4, 4, 4, 4), stem_width=16),
    "small": ModelConfig(widths=(64, 128, 320, 512), depths=(3, 3, 9, 3)),
    "large": ModelConfig(widths=(64, 128, 320, 512), depths=(3, 5, 27, 3)),
}
"""Named configurations. The names S and L are the paper's, the numbers this project's choice in the
paper's parameter range; ``tiny`` exists so that a real trained checkpoint fits in the package."""


def preset(name: str, classes: int | None = None, head: str = DEFAULT_HEAD) -> ModelConfig:
    """A named configuration: what `DMFormer` is made of.

    Args:
        name: ``tiny``, ``small`` or ``large``.
        classes: How many the head tells apart; None takes those of the data that the paper trains it on: 1000 of
            ImageNet, 150 of ADE20K.
        head: ``linear`` for a class of an image, ``fpn`` or ``upernet`` for one of every pixel, ``features`` for none.

    Returns:
        The configuration.

    Raises:
        UsageError: No such preset or head, or so many classes cannot be.

    Examples:
        >>> import dmformer
        >>> dmformer.preset("tiny", classes=5).widths
        (32, 64, 128, 192)
        >>> dmformer.preset("small", head="fpn").classes
        150
    """
    if name not in PRESETS:
        raise UsageError(f"no preset is called {name!r}", f"Known presets: {', '.join(PRESETS)}.")
    widths = PRESETS[name].widths
    try:
        chosen = suited_head(head, widths, {} if classes is None else {"classes": classes})
    except ValidationError as error:
        raise UsageError(f"{classes!r} classes: {first_problem(error)}") from error
    return PRESETS[name].model_copy(update={"head": chosen})


def check_size(size: tuple[int, int]) -> None:
    """Refuses an input that no network takes: sides are divisible by the total stride of 32, and at most 8192.

    Raises:
        UsageError: Names the nearest sizes that are possible.
    """
    height, width = size
    for side in size:
        if side > MAX_SIDE:
            raise UsageError(f"the input size {height}x{width} is too large", f"use at most --imgsz {MAX_SIDE}")
        if side % TOTAL_STRIDE or side < TOTAL_STRIDE:
            below = max(TOTAL_STRIDE, side // TOTAL_STRIDE * TOTAL_STRIDE)
            raise UsageError(
                f"the input size {height}x{width} is not divisible by {TOTAL_STRIDE}",
                f"use --imgsz {below} or --imgsz {below + TOTAL_STRIDE}",
            )
