"""Train eight unlike checkpoints for ``benchmarks/int8_unlike.py``, in a quarter of an hour on two quiet cores.

INT8 that is right for one trained network may be wrong for the next one. These differ in what matters to eight bits:
widths, expansion, kernels, depths, layer scale, dead channels, outliers in the stream and in the FFN, many classes.
The data are those of ``train_fashion_mnist.py``; of 100 classes each is a pair of garments.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from train_fashion_mnist import (
    MEAN,
    STD,
    Recipe,
    initialize,
    learning_rate_at,
    parameter_groups,
    read_idx,
    resized,
    use_matrix_levels,
)

from dmformer.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dmformer.model.config import ModelConfig
from dmformer.model.layers import Block
from dmformer.model.network import DMFormer
from dmformer.preprocessing import Preprocessing
from dmformer.tasks.classification import LinearHead

DATA = Path("/usr/share/datasets/fashion-mnist")
OUTPUT = Path("build/int8-checkpoints")
TRAINED_ON, TESTED_ON, CALIBRATED_ON = 20_000, 4_000, 2_000
FACTOR, CHOSEN = 30.0, 3
"""How much larger an outlier is than it was, and how many channels are made outliers in each block."""


@dataclass(frozen=True)
class Variant:
    """One network and how it is trained.

    Attributes:
        config: The network.
        size: Side of the images.
        epochs: Over the training images.
        weight_decay: Of the matrices; above 0.1 also of the vectors, which kills channels.
        start: The variant that it goes on from, and what is done to it first.
    """

    config: ModelConfig
    size: int = 32
    epochs: int = 5
    weight_decay: float = 0.05
    start: tuple[str, Callable[[DMFormer], None]] | None = None


def network(classes: int, **fields: object) -> ModelConfig:
    """A small configuration."""
    base = {"widths": (24, 40, 72, 104), "depths": (1, 1, 2, 1), "ffn_ratios": (4, 4, 4, 4), "stem_width": 16}
    return ModelConfig.model_validate({**base, **fields, "head": LinearHead(classes=classes)})


def blocks_of(model: nn.Module) -> list[Block]:
    """All blocks of a network or a stage."""
    return [module for module in model.modules() if isinstance(module, Block)]


def first(model: DMFormer) -> list[Block]:
    """The blocks of the first stage."""
    return blocks_of(model.stages[0])


def factors(scale: nn.Module) -> Tensor:
    """The factors of a layer scale."""
    return next(scale.parameters())


@torch.no_grad()
def outliers_in_stream(model: DMFormer) -> None:
    """Every block writes a few channels of the stream much larger."""
    for block in blocks_of(model):
        factors(block.scale2)[:CHOSEN] *= FACTOR


@torch.no_grad()
def outliers_in_ffn(model: DMFormer) -> None:
    """A few hidden channels of every FFN become much larger, and weigh as much less."""
    for block in blocks_of(model):
        for parameter in block.ffn.conv1.parameters():
            parameter[:CHOSEN] *= FACTOR
        block.ffn.conv2.weight[:, :CHOSEN] /= FACTOR


@torch.no_grad()
def rescaled_stream(model: DMFormer) -> None:
    """The same function with the channels of the first stage's stream unevenly scaled."""
    scale = torch.exp(2 * torch.randn(model.config.widths[0], generator=torch.Generator().manual_seed(0)))
    model.stem.conv3.weight *= scale[:, None, None, None]
    for parameter in (model.stem.conv3.bias, *(factors(one) for b in first(model) for one in (b.scale1, b.scale2))):
        if parameter is not None:
            parameter.mul_(scale)
    for norm in (one for block in first(model) for one in (block.norm1, block.norm2)):
        assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
        narrow = norm.running_var.clone()
        norm.running_mean *= scale
        norm.running_var *= scale**2
        # Exact, because the weight takes what epsilon changes.
        norm.weight.mul_(torch.sqrt((norm.running_var + norm.eps) / (narrow + norm.eps)) / scale)
    next(model.downsamples.parameters()).div_(scale[None, :, None, None])


FIVE = network(5, widths=(21, 37, 70, 99), expansion=3)
VARIANTS: dict[str, Variant] = {
    "five": Variant(FIVE),
    "five-stream": Variant(FIVE, epochs=1, start=("five", outliers_in_stream)),
    "five-ffn": Variant(FIVE, epochs=1, start=("five", outliers_in_ffn)),
    "five-rescaled": Variant(FIVE, epochs=0, start=("five", rescaled_stream)),
    "grey": Variant(network(10, in_channels=1, layer_scale=False, kernels=(3, 5), dilations=(1, 3))),
    "skewed": Variant(network(10, depths=(1, 1, 5, 1), kernels=(7, 3), dilations=(1, 4))),
    "decayed": Variant(network(10), epochs=3, weight_decay=0.5),
    "hundred": Variant(network(100, widths=(16, 32, 72, 128)), size=64, epochs=4),
}


@dataclass(frozen=True)
class Images:
    """uint8 ``[N, H, W]`` with labels ``[N]``."""

    pixels: Tensor
    labels: Tensor

    def __getitem__(self, index: slice | Tensor) -> Images:
        return Images(self.pixels[index], self.labels[index])

    def __len__(self) -> int:
        return len(self.labels)


def images_for(variant: Variant, part: str) -> Images:
    """Images of a part (``train`` or ``t10k``) with the classes of a variant."""
    pixels = resized(read_idx(DATA / f"{part}-images-idx3-ubyte.gz"), 32)
    labels = torch.from_numpy(read_idx(DATA / f"{part}-labels-idx1-ubyte.gz").astype(np.int64))
    if variant.config.classes < 10:
        known = labels < variant.config.classes
        return Images(pixels[known], labels[known])
    return Images(pixels, labels) if variant.config.classes == 10 else pairs(Images(pixels, labels))


def pairs(images: Images) -> Images:
    """Each image with the next one beside and below it: what both are is the class."""
    nexts = Images(images.pixels.roll(-1, 0), images.labels.roll(-1, 0))
    wide = torch.zeros(len(images), 64, 64, dtype=torch.uint8)
    wide[:, :32, :32], wide[:, 32:, 32:] = images.pixels, nexts.pixels
    return Images(wide, images.labels * 10 + nexts.labels)


def tensor(images: Images, channels: int) -> Tensor:
    """Normalized float32 ``[N, channels, H, W]``."""
    return ((images.pixels.float() / 255 - MEAN) / STD)[:, None].expand(-1, channels, -1, -1).contiguous()


def mirrored(images: Images, generator: torch.Generator) -> Images:
    """Half of the single garments mirrored, all shifted by up to two pixels together."""
    down, right = (int(torch.randint(-2, 3, (), generator=generator)) for _ in range(2))
    pixels = images.pixels.roll((down, right), (1, 2))
    if images.pixels.shape[1] == 32:
        mirror = torch.rand(len(images), generator=generator) < 0.5
        pixels = torch.where(mirror[:, None, None], pixels.flip(2), pixels)
    return Images(pixels, images.labels)


def fit(model: DMFormer, images: Images, variant: Variant) -> None:
    """Trains a network in place."""
    recipe = Recipe(epochs=variant.epochs, weight_decay=variant.weight_decay, warmup_steps=50)
    if variant.start:
        recipe = replace(recipe, learning_rate=3e-4)
    generator = torch.Generator().manual_seed(recipe.seed)
    groups = parameter_groups(model, recipe)
    if variant.weight_decay > 0.1:
        groups[1]["weight_decay"] = variant.weight_decay
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate)
    loss_of = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    each = len(images) // recipe.batch
    for step in range(recipe.epochs * each):
        if step % each == 0:
            order = torch.randperm(len(images), generator=generator)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, recipe.epochs * each, recipe)
        batch = mirrored(images[order[step % each * recipe.batch :][: recipe.batch]], generator)
        loss = loss_of(model(tensor(batch, variant.config.in_channels)), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


@torch.inference_mode()
def top1(model: DMFormer, images: Images) -> float:
    """Right answers, in percent."""
    model.eval()
    parts = [images[start : start + 500] for start in range(0, len(images), 500)]
    right = sum(int((model(tensor(part, model.config.in_channels)).argmax(1) == part.labels).sum()) for part in parts)
    return 100 * right / len(images)


def make(name: str) -> DMFormer:
    """Trains one variant; one that goes on from another reads what that left behind."""
    variant = VARIANTS[name]
    if variant.start:
        model = load_checkpoint(OUTPUT / f"{variant.start[0]}.safetensors").build()
        variant.start[1](model)
        model.requires_grad_(True)
    else:
        torch.manual_seed(0)
        model = DMFormer(variant.config)
        initialize(model)
    use_matrix_levels(model)
    model.train()
    images = images_for(variant, "train")[slice(0, TRAINED_ON)]
    fit(model, images, variant)
    model.eval()
    return model


def saved(name: str, model: DMFormer) -> Checkpoint:
    """Writes a checkpoint with its calibration and test images as arrays beside it."""
    variant = VARIANTS[name]
    grey = variant.config.in_channels == 1
    count = 1 if grey else 3
    spec = Preprocessing(
        size=(variant.size, variant.size), resize="exact", mean=(MEAN,) * count, std=(STD,) * count,
        channel_order="grey" if grey else "rgb",
    )  # fmt: skip
    state = {key: value for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    checkpoint = Checkpoint(variant.config, state, spec, None, name, "0" * 64)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    save_checkpoint(checkpoint, OUTPUT / f"{name}.safetensors")
    test, train = images_for(variant, "t10k")[slice(0, TESTED_ON)], images_for(variant, "train")
    chosen = train[slice(TRAINED_ON, TRAINED_ON + CALIBRATED_ON)]
    for part, images in (("test", test), ("calibration", chosen)):
        pixels = images.pixels[..., None].expand(-1, -1, -1, count).numpy()
        np.savez(OUTPUT / f"{name}.{part}.npz", images=pixels, labels=images.labels.numpy())
    print(f"{name:<18} FP32 top-1 {top1(model, test):.2f} %", flush=True)
    return checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(VARIANTS))
    torch.set_flush_denormal(True)
    for name in parser.parse_args().names:
        saved(name, make(name))


if __name__ == "__main__":
    main()
