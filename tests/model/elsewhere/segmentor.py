"""A segmenter of mmsegmentation: MSCAN's names, and Semantic FPN with the names of its ``FPN`` and ``FPNHead``."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from dmformer.model.config import ModelConfig
from dmformer.model.heads import Maps, make_head
from dmformer.tasks.segmentation_heads import FpnHead
from tests.model.elsewhere.layouts import auxiliary, mmengine
from tests.model.elsewhere.sizes import DEPTHS, WIDTHS
from tests.model.elsewhere.van import Mscan


class EncoderDecoder(nn.Module):
    """The head is this project's own, which follows mmsegmentation; it is the backbone that is foreign here."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Mscan()
        del self.backbone.norm4, self.backbone.head
        self.decode_head = make_head(
            ModelConfig(widths=WIDTHS, depths=DEPTHS, head=FpnHead(classes=3, neck=8, width=6))
        )

    def forward(self, x: Tensor) -> Tensor:
        first, second, third, fourth = self.backbone.forward_features(x)
        maps: Maps = (first, second, third, fourth)
        return cast(Tensor, self.decode_head(maps))


def segmentor_layout(network: nn.Module, other: nn.Module) -> Any:
    """The neck is no part of the head there; a second head serves training."""
    content = mmengine(averaged=False, surplus=auxiliary)(network, other)
    state = {name.replace("decode_head.neck.", "neck."): value for name, value in content["state_dict"].items()}
    return content | {"state_dict": state}
