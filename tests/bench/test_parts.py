"""Which part a node belongs to, and what each part has to compute."""

from __future__ import annotations

import pytest

from dmformer.evaluation.layers.parts import PARTS, part_of, work
from dmformer.model.config import PRESETS
from dmformer.model.counting import count
from tests.support import TINY


@pytest.mark.parametrize(
    ("node", "kind", "part"),
    [
        ("stem.relu:0_nchwc", "Conv", "stem"),
        ("stages.2.11.dma.levels.1", "GroupConvolution", "DMA levels"),
        ("stages.0.0.dma.add.1", "Add", "DMA levels"),
        ("stages.0.0.dma.relu", "Relu", "DMA levels"),
        ("stages.0.0.dma.expand:0_nchwc", "Conv", "DMA expand"),
        ("stages.0.0.dma.fuse", "Convolution", "DMA fuse"),
        ("stages.0.0.dma.gate.globalaveragepool", "ReduceMean", "DMA gate"),
        ("stages.0.0.dma.mul", "Mul", "DMA gate"),
        ("stages.0.0.ffn.gelu", "Gelu", "FFN"),
        ("stages.0.0.add.1", "Add", "residuals"),
        ("downsamples.0", "Convolution", "downsampling"),
        ("head", "Gemm", "head"),
        ("ReorderOutput_token_28", "ReorderOutput", "layout changes"),
        ("image_abcd_acdb_stem.conv1", "Reorder", "layout changes"),
        ("stages.0.0.ffn.conv1:0/quantized", "QuantizeLinear", "quantize, dequantize"),
        ("Constant_12", "Something", "other"),
    ],
)
def test_nodes_find_their_part(node: str, kind: str, part: str) -> None:
    assert part_of(node, kind) == part
    assert part in PARTS


@pytest.mark.parametrize("name", ["tiny", "small", "mini"])
@pytest.mark.parametrize("size", [(32, 32), (224, 96)])
def test_work_is_what_torch_counts(name: str, size: tuple[int, int]) -> None:
    config = TINY if name == "mini" else PRESETS[name]
    expected = {part.name: part.macs for part in count(config, size).per_part if part.macs}
    found = {part: amount.macs for part, amount in work(config, size).items() if amount.macs}
    assert found == expected
