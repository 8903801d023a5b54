"""The two heads of the paper's segmenters, as data: Semantic FPN and UPerNet, in the forms of mmsegmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from dmformer.tasks.head import Channels, Head, HeadLayer

MAX_PLANES = 4096
"""More classes than any set of masks has; the mask of a pixel is an int16."""
STRIDE = 4
"""Of the scores over the input."""
SCALES = (1, 2, 3, 6)
"""Of UPerNet's pyramid pooling (Zhao et al., PSPNet, arXiv 1612.01105)."""

NARROW = 256
"""A last stage of fewer channels is narrow."""

Scale = Annotated[int, Field(ge=1, le=64)]


class DenseHead(Head):
    """A head that gives every place at stride 4 a score for each class.

    Attributes:
        threshold: Of the sigmoid of the only score of a head with one class: above it a pixel is of the class.
    """

    classes: Annotated[int, Field(ge=1, le=MAX_PLANES)] = 150
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    resize: ClassVar[Literal["exact", "shorter", "letterbox"]] = "letterbox"
    side: ClassVar[int] = 512
    narrow: ClassVar[Mapping[str, int]]
    """The channels beside a narrow backbone (this project's choice), where the usual ones would be most of it."""

    @classmethod
    def suited(cls, widths: Sequence[int], said: Mapping[str, Any]) -> Head:
        return cls.model_validate({**(cls.narrow if widths[-1] < NARROW else {}), **said})


class FpnHead(DenseHead):
    """Semantic FPN (Kirillov et al., arXiv 1901.02446): mmsegmentation's ``FPN`` neck and ``FPNHead``.

    Attributes:
        neck: Channels of the pyramid.
        width: Channels of the branches that are summed at stride 4.
    """

    kind: Literal["fpn"] = "fpn"
    neck: Channels = 256
    width: Channels = 128
    narrow: ClassVar[Mapping[str, int]] = {"neck": 48, "width": 48}
    network: ClassVar[str] = "dmformer.model.segmentation_heads:SemanticFpn"

    def layers(self, widths: Sequence[int], size: tuple[int, int]) -> tuple[HeadLayer, ...]:
        places = _places(size)
        found = [HeadLayer(width, self.neck, pixels=count) for width, count in zip(widths, places, strict=True)]
        found += [HeadLayer(self.neck, self.neck, 3, count) for count in places]
        for level in range(len(places)):
            # A branch has a step at the stride of its level and at each one above it but stride 4.
            for step, at in enumerate(range(level, 0, -1) or (0,)):
                found.append(HeadLayer(self.width if step else self.neck, self.width, 3, places[at]))
        return (*found, HeadLayer(self.width, self.classes, pixels=places[0]))

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> FpnHead | None:
        names = ("head.neck.fpn_convs.0.conv.weight", "head.scale_heads.0.0.conv.weight", "head.conv_seg.weight")
        if (found := _outputs(shapes, names)) is None:
            return None
        neck, width, classes = found
        return cls(neck=neck, width=width, classes=classes)


class UperNetHead(DenseHead):
    """UPerNet (Xiao et al., arXiv 1807.10221): mmsegmentation's ``UPerHead``.

    Attributes:
        width: Channels of all its layers.
        scales: Sides of the maps that pyramid pooling makes of the last stage.
    """

    kind: Literal["upernet"] = "upernet"
    width: Channels = 512
    scales: Annotated[tuple[Scale, ...], Field(min_length=1, max_length=8)] = SCALES
    narrow: ClassVar[Mapping[str, int]] = {"width": 64}
    network: ClassVar[str] = "dmformer.model.segmentation_heads:UperNet"

    def layers(self, widths: Sequence[int], size: tuple[int, int]) -> tuple[HeadLayer, ...]:
        places, width = _places(size), self.width
        found = [HeadLayer(widths[-1], width, pixels=scale**2, pooled=places[-1]) for scale in self.scales]
        found.append(HeadLayer(widths[-1] + len(self.scales) * width, width, 3, places[-1]))
        for entering, count in zip(widths[:-1], places[:-1], strict=True):
            found += [HeadLayer(entering, width, pixels=count), HeadLayer(width, width, 3, count)]
        found.append(HeadLayer(len(widths) * width, width, 3, places[0]))
        return (*found, HeadLayer(width, self.classes, pixels=places[0]))

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> UperNetHead | None:
        pools = sum(name.startswith("head.psp_modules.") and name.endswith(".conv.weight") for name in shapes)
        found = _outputs(shapes, ("head.fpn_bottleneck.conv.weight", "head.conv_seg.weight"))
        # Weights do not show the scales: of another number than the usual ones nothing is known.
        if found is None or pools != len(SCALES):
            return None
        return cls(width=found[0], classes=found[1])


def _places(size: tuple[int, int]) -> tuple[int, ...]:
    """Places of the four feature maps of an input."""
    return tuple(size[0] * size[1] // stride**2 for stride in (4, 8, 16, 32))


def _outputs(shapes: Mapping[str, tuple[int, ...]], names: Sequence[str]) -> tuple[int, ...] | None:
    """Output channels of convolutions; None where one is missing or no convolution."""
    found = [shapes.get(name, ()) for name in names]
    return tuple(shape[0] for shape in found) if all(len(shape) == 4 for shape in found) else None
