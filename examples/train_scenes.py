"""Train the embedded segmenter: ``tiny`` with Semantic FPN on composed scenes, on a CPU, in about an hour.

Scenes are composed of Fashion-MNIST's training garments on the training photographs of ``demo/dmformer_demo``; those of
the test are made of its test garments on other photographs (``dmformer_demo.scenes``). Training begins with the
backbone of the embedded classifier. Every scene is seen once.

Run ``python examples/train_scenes.py --help``; ``make train-scenes`` runs it. The embedded checkpoint came about so, on
one busy core, but for its first phase: those 28,000 scenes were of an earlier form, with smaller and tinted garments,
and the last fifth of them was seen at 128x128 (``train_scenes.log``). More scenes would make it better.
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
from dmformer_demo.scenes import CLASSES, GARMENTS, PALETTE, TEST_GROUNDS, TRAINING_GROUNDS, Scenes, read_grounds
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from train_fashion_mnist import blend, initialize, read_idx, use_matrix_levels

from dmformer.data.dataset import IGNORED
from dmformer.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dmformer.model.config import preset
from dmformer.model.network import DMFormer
from dmformer.preprocessing import Preprocessing, preprocess
from dmformer.tasks.segmentation_heads import FpnHead

HEAD = FpnHead(classes=len(CLASSES), neck=48, width=48)
SIZE, MEAN, STD = 96, 0.2860, 0.3530
"""The classifier's mean and deviation: its backbone is the start."""
PREPROCESSING = Preprocessing(size=(SIZE, SIZE), resize="letterbox", mean=(MEAN,) * 3, std=(STD,) * 3)
TEST_SCENES = 2000


@dataclass(frozen=True)
class Phase:
    """Some scenes with a schedule of their own; the next phase begins with the averaged weights.

    Attributes:
        scenes: How many; each is seen once.
        seed: Of the first.
        crowd: Fewest and most garments that are thrown into one: crowded ones teach more in the same time.
        backbone_rate: Highest learning rate of the backbone; ``head_rate`` the head's.
    """

    scenes: int
    seed: int
    crowd: tuple[int, int]
    backbone_rate: float
    head_rate: float


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result; this project's choice."""

    phases: tuple[Phase, ...] = (
        Phase(28_000, 1_000_000, (4, 8), 6e-4, 2e-3),
        Phase(7_200, 2_000_000, (4, 8), 5e-4, 1e-3),
    )
    batch: int = 16
    weight_decay: float = 0.05
    warmup_steps: int = 50
    ema_decay: float = 0.99
    seed: int = 20261


def scenes_of(
    data: Path, part: str, grounds: tuple[str, ...], count: int, seed: int, crowd: tuple[int, int] = GARMENTS
) -> Scenes:
    images, labels = (read_idx(data / f"{part}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
    return Scenes(images, labels, read_grounds(grounds), count, seed, crowd)


def fitted_mask(mask: NDArray[np.int16]) -> NDArray[np.int64]:
    """A mask as the letterbox puts its picture into the input, by nearest; the padding is ignored."""
    height, width = mask.shape
    scale = min(SIZE / height, SIZE / width)
    inner = (min(SIZE, round(width * scale)), min(SIZE, round(height * scale)))
    canvas = Image.new("L", (SIZE, SIZE), 255)
    resized = Image.fromarray(mask.astype(np.uint8)).resize(inner, Image.Resampling.NEAREST)
    canvas.paste(resized, ((SIZE - inner[0]) // 2, (SIZE - inner[1]) // 2))
    values = np.asarray(canvas).astype(np.int64)
    return np.where(values == 255, IGNORED, values)


def batch_of(scenes: Scenes, indices: range) -> tuple[Tensor, Tensor]:
    pairs = [scenes[index] for index in indices]
    images = np.stack([preprocess(image, PREPROCESSING) for image, _ in pairs])
    masks = np.stack([fitted_mask(mask) for _, mask in pairs])
    return torch.from_numpy(images).to(memory_format=torch.channels_last), torch.from_numpy(masks)


def enlarged(scores: Tensor) -> Tensor:
    return nn.functional.interpolate(scores, scale_factor=4.0, mode="bilinear", align_corners=False)


@torch.inference_mode()
def miou(model: nn.Module, scenes: Scenes) -> float:
    """At the input's resolution: close to what `dmformer verify` counts at the masks' own."""
    model.eval()
    confusion = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for start in range(0, len(scenes), 20):
        images, masks = batch_of(scenes, range(start, min(len(scenes), start + 20)))
        answers, known = enlarged(model(images)).argmax(1), masks != IGNORED
        np.add.at(confusion, (masks[known].numpy(), answers[known].numpy()), 1)
    model.train()
    shared = np.diag(confusion)
    return float(np.mean(shared / (confusion.sum(0) + confusion.sum(1) - shared))) * 100


def start_model() -> DMFormer:
    model = DMFormer(preset("tiny").model_copy(update={"head": HEAD}))
    initialize(model.head)
    own = {name: value for name, value in load_checkpoint().state.items() if not name.startswith(("head.", "norm."))}
    model.load_state_dict(own, strict=False)
    # On maps of 8x8 and below, matrices are faster than dilated depthwise convolutions.
    for stage in model.stages[2:]:
        use_matrix_levels(stage)
    return model


def optimizer_of(model: DMFormer, phase: Phase, decay: float) -> torch.optim.Optimizer:
    groups = []
    for of_head, rate in ((False, phase.backbone_rate), (True, phase.head_rate)):
        own = [value for name, value in model.named_parameters() if name.startswith("head.") == of_head]
        groups.append({"params": [p for p in own if p.ndim > 1], "top": rate, "weight_decay": decay})
        groups.append({"params": [p for p in own if p.ndim <= 1], "top": rate, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=phase.head_rate)


def train(data: Path, output: Path, recipe: Recipe) -> None:
    torch.manual_seed(recipe.seed)
    model = start_model()
    for phase in recipe.phases:
        model = trained(model, data, phase, recipe)
    save_checkpoint(Checkpoint.from_model(model, PREPROCESSING, CLASSES, output.stem, PALETTE), output)
    test = scenes_of(data, "t10k", TEST_GROUNDS, TEST_SCENES, seed=1)
    print(f"mIoU of {len(test)} test scenes {miou(model, test):.2f} %", flush=True)


def trained(model: DMFormer, data: Path, phase: Phase, recipe: Recipe) -> DMFormer:
    """The moving average of the weights at the end of a phase."""
    scenes = scenes_of(data, "train", TRAINING_GROUNDS, phase.scenes, phase.seed, phase.crowd)
    unseen = scenes_of(data, "train", TRAINING_GROUNDS, 100, seed=900_000)
    average = copy.deepcopy(model)
    optimizer, loss_of = optimizer_of(model, phase, recipe.weight_decay), nn.CrossEntropyLoss(ignore_index=IGNORED)
    steps, started = phase.scenes // recipe.batch, time.monotonic()
    for step in range(steps):
        share = min(1.0, (step + 1) / recipe.warmup_steps) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = group["top"] * share
        images, masks = batch_of(scenes, range(step * recipe.batch, (step + 1) * recipe.batch))
        loss = loss_of(enlarged(model(images)), masks)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        blend(average, model, min(recipe.ema_decay, (step + 1) / (step + 10)))
        if step % 50 == 49:
            print(f"step {step + 1}/{steps}  loss {loss.item():.4f}  {time.monotonic() - started:.0f} s", flush=True)
        if step % 200 == 199:
            print(f"mIoU of unseen scenes of training garments {miou(average, unseen):.2f} %", flush=True)
    return average


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--output", type=Path, default=Path("build/dmformer-tiny-scenes.safetensors"))
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    train(arguments.data, arguments.output, Recipe())


if __name__ == "__main__":
    main()
