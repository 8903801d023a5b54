"""The exact folding: the same function without a BatchNorm or a layer scale left.

Every fold is plain algebra on the weights (an affine map per channel next to a convolution is a
convolution), computed in float64. What folds where:

- stem norms: into the stem convolution before each;
- norms between stages: into the convolution there, which has no padding that a shift would not reach;
- norm before DMA: into its two linear consumers, the 1x1 expand convolution and, since the mean
  commutes with an affine map, the gate's first layer;
- norm behind the level sum: its scale into every depthwise level, its shift and their biases once, into the first;
- norm before the FFN: into the FFN's first convolution;
- layer scales: into DMA's fuse convolution (a factor per channel commutes with the gate) and into
  the FFN's second convolution;
- final norm: into the head, again because the mean commutes;
- norms of the head: into the convolution before each.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from dmformer.errors import ExportError
from dmformer.model.heads import ConvNorm
from dmformer.model.layers import Block, LayerScale
from dmformer.model.network import DMFormer, Stem


def canonicalize(model: DMFormer) -> DMFormer:
    """The folded network, equal to ``model`` in eval mode.

    Args:
        model: Any DMFormer; it is not changed.

    Returns:
        A network of ``model.config.canonical()`` in the dtype of ``model``, in eval mode and without
        gradients; ``model`` itself where it is canonical already.

    Raises:
        ExportError: A folded weight is not finite, so the original's values are unusable.
    """
    if model.config.is_canonical:
        return model
    work = copy.deepcopy(model).double().eval().requires_grad_(False)
    fold_stem(work.stem)
    fold_norms_between_stages(work)
    for block in blocks(work):
        fold_norm_before_dma(block)
        fold_norm_of_levels(block)
        fold_norm_before_ffn(block)
        fold_layer_scales(block)
    fold_final_norm(work)
    fold_norms_of_head(work)
    with torch.device("meta"):
        folded = DMFormer(model.config.canonical())
    folded.load_state_dict(work.state_dict(), assign=True)
    folded = folded.to(model.stem.conv3.weight.dtype).eval().requires_grad_(False)
    _check(folded)
    return folded


def assert_equal(reference: DMFormer, canonical: DMFormer, batch: Tensor, rtol: float) -> float:
    """Checks on real images that both networks, put into eval mode, give the same logits.

    Args:
        reference: The network before folding.
        canonical: The one after.
        batch: Images ``[N, in_channels, H, W]`` in the networks' dtype, preprocessed.
        rtol: Largest allowed difference, relative to the largest absolute logit of the reference.

    Returns:
        The measured relative difference.

    Raises:
        ExportError: It is above ``rtol`` or not a number.
    """
    with torch.inference_mode():
        expected, folded = reference.eval().answer(batch), canonical.eval().answer(batch)
    difference, scale = float((folded - expected).abs().max()), float(expected.abs().max())
    # A head of zeros answers zeros, and so does the folded one.
    error = 0.0 if difference == 0 else difference / scale if scale else float("inf")
    if not error <= rtol:
        raise ExportError(
            f"the folded network differs from the reference by {error:.2e} of the largest logit (allowed: {rtol:.0e})",
            "Please report this: folding is exact for every finite checkpoint with sane BatchNorm statistics.",
        )
    return error


def blocks(model: DMFormer) -> Iterator[Block]:
    """All blocks in the order of the computation."""
    for stage in model.stages:
        yield from (cast(Block, block) for block in cast(nn.ModuleList, stage))


def fold_stem(stem: Stem) -> None:
    """Folds the stem's norms into the convolutions before them."""
    for conv, norm in ((stem.conv1, stem.norm1), (stem.conv2, stem.norm2), (stem.conv3, stem.norm3)):
        if (affine := _affine(norm)) is not None:
            _apply_after(conv, *affine)
    stem.norm1, stem.norm2, stem.norm3 = nn.Identity(), nn.Identity(), nn.Identity()


def fold_norms_between_stages(model: DMFormer) -> None:
    """Folds the norms before and behind the convolutions between stages into them."""
    for index, module in enumerate(model.downsamples):
        conv = cast(nn.Conv2d, module)
        if (affine := _affine(model.norms_before[index])) is not None:
            _apply_before(conv, *affine)
        if (affine := _affine(model.norms_after[index])) is not None:
            _apply_after(conv, *affine)
        model.norms_before[index], model.norms_after[index] = nn.Identity(), nn.Identity()


def fold_norm_before_dma(block: Block) -> None:
    """Folds ``norm1`` into both of DMA's linear consumers: expand and the gate's first layer."""
    if (affine := _affine(block.norm1)) is not None:
        _apply_before(block.dma.expand, *affine)
        _apply_before(block.dma.gate.reduce, *affine)
    block.norm1 = nn.Identity()


def fold_norm_of_levels(block: Block) -> None:
    """Folds the norm behind the sum into the levels: the scale into each, the shift once, with their own biases."""
    if (affine := _affine(block.dma.norm)) is not None:
        scale, shift = affine
        levels = [cast(nn.Conv2d, level) for level in block.dma.levels]
        biases = [level.bias for level in levels if level.bias is not None]
        for level in levels:
            level.bias = None
        shift = shift + scale * sum(biases, start=torch.zeros_like(shift))
        for index, level in enumerate(levels):
            # Only the first level carries a bias in the canonical form.
            _apply_after(level, scale, shift if index == 0 else None)
    block.dma.norm = nn.Identity()


def fold_norm_before_ffn(block: Block) -> None:
    """Folds ``norm2`` into the FFN's first convolution."""
    if (affine := _affine(block.norm2)) is not None:
        _apply_before(block.ffn.conv1, *affine)
    block.norm2 = nn.Identity()


def fold_layer_scales(block: Block) -> None:
    """Folds both layer scales into the last convolution of their branch."""
    for scale, conv in ((block.scale1, block.dma.fuse), (block.scale2, block.ffn.conv2)):
        if isinstance(scale, LayerScale):
            _apply_after(conv, scale.weight, torch.zeros_like(scale.weight))
    block.scale1, block.scale2 = nn.Identity(), nn.Identity()


def fold_final_norm(model: DMFormer) -> None:
    """Folds the norm behind the last stage into the head's layers that read it."""
    if (affine := _affine(model.norm)) is not None:
        for reader in model.head.norm_readers:
            _apply_before(reader, *affine)
    model.norm = nn.Identity()


def fold_norms_of_head(model: DMFormer) -> None:
    """Folds the head's own norms into the convolutions before them."""
    for module in model.head.modules():
        if isinstance(module, ConvNorm) and (affine := _affine(module.bn)) is not None:
            _apply_after(module.conv, *affine)
            module.bn = nn.Identity()


def _affine(norm: nn.Module) -> tuple[Tensor, Tensor] | None:
    """Scale and shift per channel of a BatchNorm in eval mode; None where there is no norm."""
    if not isinstance(norm, nn.BatchNorm2d):
        return None
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    scale = norm.weight / torch.sqrt(variance + norm.eps)
    return scale, norm.bias - mean * scale


def _apply_before(layer: nn.Conv2d | nn.Linear, scale: Tensor, shift: Tensor) -> None:
    """Makes ``layer(x)`` what ``layer(scale * x + shift)`` was; only for Linear and convolutions without padding."""
    weight = layer.weight
    if weight.shape[1] != scale.shape[0] or (isinstance(layer, nn.Conv2d) and any(cast(Any, layer.padding))):
        # The shift would not reach the padding, and the fold would be wrong there.
        raise ExportError(f"a norm of {scale.shape[0]} channels cannot be folded into this layer")
    bias, summed = cast(Tensor, layer.bias), weight.flatten(2).sum(2) if weight.dim() > 2 else weight
    layer.bias = nn.Parameter(bias + summed @ shift, requires_grad=False)
    each = scale.view(1, -1, *[1] * (weight.dim() - 2))
    layer.weight = nn.Parameter(weight * each, requires_grad=False)


def _apply_after(conv: nn.Conv2d, scale: Tensor, shift: Tensor | None) -> None:
    """Makes ``conv(x)`` what ``scale * conv(x) + shift`` was; without a shift the layer gets no bias."""
    conv.weight = nn.Parameter(conv.weight * scale[:, None, None, None], requires_grad=False)
    if shift is not None:
        bias = torch.zeros_like(shift) if conv.bias is None else conv.bias
        conv.bias = nn.Parameter(bias * scale + shift, requires_grad=False)


def _check(folded: DMFormer) -> None:
    for name, module in folded.named_modules():
        if isinstance(module, (nn.BatchNorm2d, LayerScale)):
            raise ExportError(f"{name}: a {type(module).__name__} is left after folding")
    for name, parameter in folded.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise ExportError(
                f"{name}: not finite after folding", "Look for extreme values in the weights and BatchNorm statistics."
            )
