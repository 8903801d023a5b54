"""Train the embedded ``tiny`` DMFormer on Fashion-MNIST, on a CPU, in about an hour.

The data are the four IDX files of Debian's package ``dataset-fashion-mnist`` (MIT licence). Images are
resized to 32x32 by the project's own preprocessing and the grey channel is repeated three times.

Run ``python examples/train_fashion_mnist.py --help``; ``make train`` runs it with the recipe that made
the checkpoint in ``demo/dmformer_demo``. Everything is seeded; PyTorch's threaded sums still make two runs
differ in the last digits.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from dmformer.model.config import preset
from dmformer.model.layers import DMA
from dmformer.model.network import DMFormer

MEAN, STD = 0.2860, 0.3530
"""Mean and standard deviation of the training images, in units of the full range."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result: this project's choice, except AdamW and the cosine (paper)."""

    epochs: int = 20
    batch: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup_steps: int = 300
    label_smoothing: float = 0.05
    ema_decay: float = 0.998
    image_size: int = 32
    seed: int = 20260


def read_idx(path: Path) -> np.ndarray:
    import gzip

    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    dims = raw[3]
    shape = np.frombuffer(raw, ">u4", dims, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dims).reshape(shape)


def resized(images: np.ndarray, size: int) -> Tensor:
    stack = [np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)) for image in images]
    return torch.from_numpy(np.stack(stack))


def convolutions(dma: DMA) -> list[nn.Conv2d]:
    return [level for level in dma.levels if isinstance(level, nn.Conv2d)]


def level_taps(dma: DMA, height: int, width: int) -> Tensor:
    """Which tap of which level links output position p to input position q: ``[taps, P * P]`` of 0 and 1."""
    rows = []
    for level in convolutions(dma):
        (kernel, _), (dilation, _) = level.kernel_size, level.dilation
        for dy in range(kernel):
            for dx in range(kernel):
                link = torch.zeros(height, width, height, width)
                for y in range(height):
                    for x in range(width):
                        qy, qx = y + (dy - kernel // 2) * dilation, x + (dx - kernel // 2) * dilation
                        if 0 <= qy < height and 0 <= qx < width:
                            link[y, x, qy, qx] = 1.0
                rows.append(link.flatten())
    return torch.stack(rows)


class MatrixLevels:
    """DMA's summed levels as one matrix per channel over the map's positions.

    The same function as the convolutions. On maps of 8x8 and below a CPU computes it, and above all its
    gradient, several times faster than PyTorch's dilated depthwise convolutions.
    """

    def __init__(self, dma: DMA) -> None:
        self.dma = dma
        self.links: dict[tuple[int, int], Tensor] = {}

    def __call__(self, expanded: Tensor) -> Tensor:
        batch, channels, height, width = expanded.shape
        links = self.links.setdefault((height, width), level_taps(self.dma, height, width))
        taps = torch.cat([level.weight.flatten(1) for level in convolutions(self.dma)], dim=1)
        positions = height * width
        matrices = (taps @ links).view(channels, positions, positions)
        columns = expanded.permute(1, 2, 3, 0).reshape(channels, positions, batch)
        summed = torch.bmm(matrices, columns)
        return summed.view(channels, height, width, batch).permute(3, 0, 1, 2)


def use_matrix_levels(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, DMA):
            module.sum_levels = MatrixLevels(module)  # type: ignore[method-assign]


def initialize(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1] // module.groups
            nn.init.normal_(module.weight, 0, math.sqrt(2.0 / fan_out))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random mirror, shift by up to three pixels and one erased patch, per image."""
    batch, size, _ = images.shape
    mirror = torch.rand(batch, generator=generator) < 0.5
    images = torch.where(mirror[:, None, None], images.flip(2), images)
    padded = nn.functional.pad(images, (3, 3, 3, 3))
    shifts = torch.randint(0, 7, (batch, 2), generator=generator)
    steps = torch.arange(size)
    rows, columns = shifts[:, :1] + steps, shifts[:, 1:] + steps
    images = padded[torch.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :]]
    corner = torch.randint(-4, size - 4, (batch, 2), generator=generator)
    extent = torch.randint(4, 13, (batch, 2), generator=generator)
    inside = (steps >= corner[:, :, None]) & (steps < (corner + extent)[:, :, None])
    patch = inside[:, 0, :, None] & inside[:, 1, None, :] & (torch.rand(batch, 1, 1, generator=generator) < 0.4)
    return images.masked_fill(patch, 0)


def normalized(images: Tensor) -> Tensor:
    return ((images.float() / 255.0 - MEAN) / STD)[:, None].expand(-1, 3, -1, -1).contiguous()


@torch.inference_mode()
def top1(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    model.eval()
    right = sum(
        int((model(normalized(images[i : i + 500])).argmax(1) == labels[i : i + 500]).sum())
        for i in range(0, len(images), 500)
    )
    model.train()
    return 100.0 * right / len(images)


def learning_rate_at(step: int, steps: int, recipe: Recipe) -> float:
    warm = min(1.0, (step + 1) / recipe.warmup_steps)
    return recipe.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / steps))


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]


@torch.no_grad()
def blend(average: nn.Module, model: nn.Module, decay: float) -> None:
    for target, source in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if target.is_floating_point():
            target.lerp_(source, 1 - decay)
        else:
            target.copy_(source)


def train(data: Path, output: Path, recipe: Recipe, limit: int | None) -> None:
    torch.manual_seed(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    images = resized(read_idx(data / "train-images-idx3-ubyte.gz")[:limit], recipe.image_size)
    labels = torch.from_numpy(read_idx(data / "train-labels-idx1-ubyte.gz")[:limit].astype(np.int64))
    test_images = resized(read_idx(data / "t10k-images-idx3-ubyte.gz"), recipe.image_size)
    test_labels = torch.from_numpy(read_idx(data / "t10k-labels-idx1-ubyte.gz").astype(np.int64))

    model = DMFormer(preset("tiny", classes=10))
    initialize(model)
    average = copy.deepcopy(model)
    use_matrix_levels(model)
    use_matrix_levels(average)
    optimizer = torch.optim.AdamW(parameter_groups(model, recipe), lr=recipe.learning_rate)
    loss_of = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    steps_per_epoch = len(images) // recipe.batch
    steps, step, started = recipe.epochs * steps_per_epoch, 0, time.monotonic()
    for epoch in range(recipe.epochs):
        total = 0.0
        order = torch.randperm(len(images), generator=generator)
        for index in torch.split(order, recipe.batch)[:steps_per_epoch]:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate_at(step, steps, recipe)
            logits = model(normalized(augmented(images[index], generator)))
            loss = loss_of(logits, labels[index])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            blend(average, model, min(recipe.ema_decay, (step + 1) / (step + 10)))
            total, step = total + loss.item(), step + 1
        print(
            f"epoch {epoch + 1:2d}/{recipe.epochs}  loss {total / steps_per_epoch:.4f}  "
            f"test top-1 {top1(average, test_images, test_labels):.2f} %  {time.monotonic() - started:.0f} s",
            flush=True,
        )
        torch.save(average.state_dict(), output.with_suffix(".pt"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--output", type=Path, default=Path("build/dmformer-tiny-fashion-mnist.safetensors"))
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    parser.add_argument("--limit", type=int, help="train on this many images only, to try the script")
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    train(arguments.data, arguments.output, Recipe(epochs=arguments.epochs), arguments.limit)


if __name__ == "__main__":
    main()
