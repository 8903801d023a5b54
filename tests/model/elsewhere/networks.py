"""The foreign networks of this folder by name, each of which computes what a DMFormer computes."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from tests.model.elsewhere.conv2former import Conv2Former, ConvModFormer
from tests.model.elsewhere.focalnet import OriginalFocalNet, TimmFocalNet
from tests.model.elsewhere.metaformer import (
    ConvNeXt,
    LinearMetaFormer,
    MetaFormer,
    PoolFormer,
    convnext_with_norms,
)
from tests.model.elsewhere.native import (
    ConvHead,
    Native,
    native_linear,
    native_pooled,
    native_squeeze_excite,
    native_timm,
)
from tests.model.elsewhere.openmmlab import ImageClassifier
from tests.model.elsewhere.segmentor import EncoderDecoder
from tests.model.elsewhere.sizes import trained
from tests.model.elsewhere.van import Mscan, NormedVan, Van, van_with_biases, van_without_scales

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "van": Van,
    "van_without_scales": van_without_scales,
    "van_with_biases": van_with_biases,
    "van_with_norms": NormedVan,
    "mscan": Mscan,
    "conv2former": Conv2Former,
    "convmod": ConvModFormer,
    "focalnet": OriginalFocalNet,
    "focalnet_timm": TimmFocalNet,
    "metaformer": MetaFormer,
    "metaformer_linear": LinearMetaFormer,
    "poolformer": PoolFormer,
    "convnext": ConvNeXt,
    "convnext_with_norms": convnext_with_norms,
    "mmpretrain": ImageClassifier,
    "mmseg": EncoderDecoder,
    "native": Native,
    "native_squeeze_excite": native_squeeze_excite,
    "native_pooled": native_pooled,
    "native_timm": native_timm,
    "native_linear": native_linear,
    "native_conv_head": ConvHead,
}

MEANT, OTHER = 1, 2
"""Seeds of the weights that are to be taken, and of those that lie beside them."""


def network(name: str, seed: int = MEANT) -> nn.Module:
    """A trained network in evaluation mode, float32."""
    return trained(NETWORKS[name](), seed)
