"""The model's own parts: which one a node of a runtime belongs to, and what each has to compute.

Needs no torch. `macs` agrees with `dmformer.model.counting` (a test keeps the two equal).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dmformer.model.config import STAGES, ModelConfig

LAYOUT, QUANTIZATION, OTHER = "layout changes", "quantize, dequantize", "other"
PREPROCESSING = "preprocessing"
"""Where it is embedded in the engine; its nodes are named so by `dmformer.graph.embedded`."""
_PATTERNS: tuple[tuple[str, str], ...] = (
    ("stem", r"^stem\b"),
    ("DMA expand", r"\.dma\.expand\b"),
    ("DMA levels", r"\.dma\.(levels|add|relu)\b"),
    ("DMA fuse", r"\.dma\.fuse\b"),
    ("DMA gate", r"\.dma\.(gate|mul)\b"),
    ("FFN", r"\.ffn\b"),
    ("residuals", r"^stages\.\d+\.\d+\.add\b"),
    ("downsampling", r"^downsamples\b"),
    ("head", r"^(head|norm|globalaveragepool|flatten|reshape|logits)\b"),
)
PARTS = (PREPROCESSING, *(name for name, _ in _PATTERNS), LAYOUT, QUANTIZATION, OTHER)
"""In the order that tables show them."""

_LAYOUT_KINDS = (
    "Reorder",
    "ReorderInput",
    "ReorderOutput",
    "Transpose",
    "Reshape",
    "Convert",
    "Cast",
    "Reformat",
    "NoOp",
)
_QUANTIZER_KINDS = ("QuantizeLinear", "DequantizeLinear", "FakeQuantize")


def part_of(node: str, kind: str = "") -> str:
    """The part that a node belongs to, by its name, which is a module path; see `dmformer.graph.passes`.

    Args:
        node: The runtime's name, as ``stages.0.1.dma.expand:0_nchwc``.
        kind: Its operator: what only moves or rounds numbers is told apart.
    """
    if kind in _QUANTIZER_KINDS:
        return QUANTIZATION
    if node.startswith(PREPROCESSING):
        return PREPROCESSING
    if kind in _LAYOUT_KINDS:
        return LAYOUT
    return next((part for part, pattern in _PATTERNS if re.search(pattern, node)), OTHER)


@dataclass(frozen=True)
class Work:
    """What a part has to do for one image.

    Attributes:
        macs: Multiply-accumulates.
        activations: Numbers that it reads and writes at least, each operator its input and output once.
        weights: Numbers of its weights, read once for each batch.
        operators: In how many operators, where none is fused into another.
    """

    macs: int = 0
    activations: int = 0
    weights: int = 0
    operators: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.macs + other.macs,
            self.activations + other.activations,
            self.weights + other.weights,
            self.operators + other.operators,
        )


def convolution(inputs: int, outputs: int, kernel: int, pixels: int, stride: int = 1, groups: int = 1) -> Work:
    """A convolution with ``pixels`` outputs in each channel."""
    weights = inputs // groups * outputs * kernel * kernel
    return Work(weights * pixels, inputs * pixels * stride * stride + outputs * pixels, weights + outputs, 1)


def work(config: ModelConfig, size: tuple[int, int]) -> dict[str, Work]:
    """What every part of the canonical network has to do for one image.

    Args:
        config: The network.
        size: Height and width of the input.
    """
    pixels = size[0] * size[1]
    inner, first = config.stem_width, config.widths[0]
    parts = {
        "stem": convolution(config.in_channels, inner, 7, pixels // 4, 2)
        + convolution(inner, inner, 3, pixels // 4)
        + convolution(inner, first, 2, pixels // 16, 2)
    }
    for stage in range(STAGES):
        here = pixels // 16 // 4**stage
        if stage:
            step = convolution(config.widths[stage - 1], config.widths[stage], 2, here, 2)
            parts["downsampling"] = parts.get("downsampling", Work()) + step
        for _ in range(config.depths[stage]):
            for part, amount in block(config, stage, here).items():
                parts[part] = parts.get(part, Work()) + amount
    for layer in config.head.layers(config.widths, size):
        pooling = Work(0, layer.inputs * layer.pooled, 0, 1) if layer.pooled else Work()
        step = pooling + convolution(layer.inputs, layer.outputs, layer.kernel, layer.pixels)
        parts["head"] = parts.get("head", Work()) + step
    return parts


def block(config: ModelConfig, stage: int, pixels: int) -> dict[str, Work]:
    """What the parts of one block have to do."""
    width = config.widths[stage]
    inner, hidden, gate = config.expansion * width, config.ffn_width(stage), config.gate_width(stage)
    depthwise = Work(0, 2 * inner * pixels, 0)
    for kernel in config.kernels:
        depthwise += Work(inner * kernel**2 * pixels, 0, inner * kernel**2, 1)
    pooled_and_scaled = Work(0, 3 * width * pixels, 0, 2)
    return {
        "DMA expand": convolution(width, inner, 1, pixels),
        "DMA levels": depthwise,
        "DMA fuse": convolution(inner, width, 1, pixels),
        "DMA gate": pooled_and_scaled + convolution(width, gate, 1, 1) + convolution(gate, width, 1, 1),
        "FFN": convolution(width, hidden, 1, pixels) + convolution(hidden, width, 1, pixels),
        "residuals": Work(0, 2 * 3 * width * pixels, 0, 2),
    }
