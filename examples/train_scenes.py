"""Train the embedded segmenter: ``tiny`` with Semantic FPN on composed scenes, on a CPU, in about two hours.

Scenes are composed of Fashion-MNIST's training garments on the training photographs of ``demo/dmformer_demo``; those
of the test are made of its test garments on other photographs (``dmformer_demo.scenes``). Training begins with the
backbone of the embedded classifier, at a size at which garments are as large as it knows them. Each scene is seen once.

Run ``python examples/train_scenes.py --help``; ``make train-scenes`` runs it twice, the second time from the weights of
the first (``--start``). The embedded checkpoint is the second run's from weights whose rates had followed the clock in
place of the steps, with 28,720 scenes at 96x96 between the two (``train_scenes.log``).
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from dmformer_demo.scenes import CLASSES, GARMENTS, PALETTE, TEST_GROUNDS, TRAINING_GROUNDS, Scenes, read_grounds
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from train_fashion_mnist import blend, initialize, read_idx, use_matrix_levels

from dmformer.data.dataset import IGNORED
from dmformer.geometry import placement
from dmformer.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dmformer.model.config import preset
from dmformer.model.network import DMFormer
from dmformer.preprocessing import Preprocessing, preprocess
from dmformer.tasks.segmentation_heads import FpnHead

HEAD = FpnHead(classes=len(CLASSES), neck=48, width=48)
MEAN, STD = 0.2860, 0.3530
"""The classifier's."""
TEST_SCENES, UNSEEN, PROBE = 2000, 100, 64


@dataclass(frozen=True)
class Phase:
    """Scenes of one kind.

    Attributes:
        side: Of the input.
        batch: Scenes in a step.
        steps: How many.
        crowd: Fewest and most garments that are thrown into a scene: crowded ones teach more in the same time.
    """

    side: int
    batch: int
    steps: int
    crowd: tuple[int, int]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result; this project's choice."""

    phases: tuple[Phase, ...] = (
        Phase(64, 24, 1159, (5, 9)),
        Phase(64, 24, 639, (2, 5)),
        Phase(96, 16, 847, (2, 5)),
    )
    backbone_rate: float = 5e-4
    head_rate: float = 2e-3
    lateral_rate: float = 5e-4
    weight_decay: float = 0.05
    warmup_steps: int = 60
    ema_decay: float = 0.99
    seed: int = 20261
    first_scene: int = 5_000_000

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)


CONTINUED = Recipe(
    phases=(Phase(96, 16, 800, (5, 9)), Phase(96, 16, 1600, (2, 5))),
    backbone_rate=3e-4,
    head_rate=9e-4,
    lateral_rate=3e-4,
    ema_decay=0.998,
    first_scene=7_000_000,
)
"""From weights that an earlier run gave."""


def preprocessing(side: int) -> Preprocessing:
    return Preprocessing(size=(side, side), resize="letterbox", mean=(MEAN,) * 3, std=(STD,) * 3)


def scenes_of(
    data: Path, part: str, grounds: tuple[str, ...], count: int, seed: int, crowd: tuple[int, int] = GARMENTS
) -> Scenes:
    images, labels = (read_idx(data / f"{part}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
    return Scenes(images, labels, read_grounds(grounds), count, seed, crowd)


def fitted_mask(mask: NDArray[np.int16], side: int) -> NDArray[np.int64]:
    """A mask as the letterbox puts its picture into the input, by nearest; the padding is ignored."""
    place = placement((mask.shape[0], mask.shape[1]), (side, side), "letterbox")
    fitted = np.full((side, side), IGNORED, np.int64)
    resized = Image.fromarray(mask).resize((place.width, place.height), Image.Resampling.NEAREST)
    fitted[place.top : place.top + place.height, place.left : place.left + place.width] = np.asarray(resized)
    return fitted


def batch_of(scenes: Scenes, indices: range, side: int) -> tuple[Tensor, Tensor]:
    pairs, spec = [scenes[index] for index in indices], preprocessing(side)
    images = np.stack([preprocess(image, spec) for image, _ in pairs])
    masks = np.stack([fitted_mask(mask, side) for _, mask in pairs])
    return torch.from_numpy(images).to(memory_format=torch.channels_last), torch.from_numpy(masks)


def enlarged(scores: Tensor) -> Tensor:
    return nn.functional.interpolate(scores, scale_factor=4.0, mode="bilinear", align_corners=False)


@torch.no_grad()
def miou(model: nn.Module, scenes: Scenes, side: int) -> float:
    """At the input's resolution: close to what `dmformer verify` counts at the masks' own."""
    model.eval()
    confusion = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for start in range(0, len(scenes), 20):
        images, masks = batch_of(scenes, range(start, min(len(scenes), start + 20)), side)
        answers, known = enlarged(model(images)).argmax(1), masks != IGNORED
        np.add.at(confusion, (masks[known].numpy(), answers[known].numpy()), 1)
    model.train()
    shared = np.diag(confusion)
    return float(np.mean(shared / (confusion.sum(0) + confusion.sum(1) - shared))) * 100


def start_model(probe: Tensor) -> DMFormer:
    """The classifier's backbone under a head whose laterals read each channel with mean 0 and deviation 1.

    Without that the last map, whose values are 20 times those of the first, drowns the others, and learning stalls.
    """
    model = DMFormer(preset("tiny").model_copy(update={"head": HEAD}))
    initialize(model.head)
    own = {name: value for name, value in load_checkpoint().state.items() if not name.startswith(("head.", "norm."))}
    model.load_state_dict(own, strict=False)
    with torch.no_grad():
        for lateral, values in zip(
            cast(Any, model.head).neck.lateral_convs, model.eval().forward_features(probe), strict=True
        ):
            mean, deviation = values.mean((0, 2, 3)), values.std((0, 2, 3)) + 1e-3
            weight = torch.randn_like(lateral.conv.weight) / len(mean) ** 0.5 / deviation[:, None, None]
            lateral.conv.weight.copy_(weight)
            lateral.conv.bias.copy_(-weight[:, :, 0, 0] @ mean)
    return model


def optimizer_of(model: DMFormer, recipe: Recipe) -> torch.optim.Optimizer:
    named = dict(model.named_parameters())
    laterals = {name for name in named if "lateral_convs" in name}
    head = {name for name in named if name.startswith("head.")} - laterals
    parts = ((named.keys() - head - laterals, recipe.backbone_rate), (head, recipe.head_rate))
    groups = [{"params": [named[name] for name in sorted(laterals)], "top": recipe.lateral_rate, "weight_decay": 0.0}]
    for names, rate in parts:
        own = [named[name] for name in sorted(names)]
        groups.append({"params": [p for p in own if p.ndim > 1], "top": rate, "weight_decay": recipe.weight_decay})
        groups.append({"params": [p for p in own if p.ndim <= 1], "top": rate, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=recipe.head_rate)


def batches(data: Path, recipe: Recipe) -> Iterator[tuple[Phase, Tensor, Tensor]]:
    """All steps of all phases."""
    first = recipe.first_scene
    for phase in recipe.phases:
        count = phase.steps * phase.batch
        scenes = scenes_of(data, "train", TRAINING_GROUNDS, count, first, phase.crowd)
        for start in range(0, count, phase.batch):
            yield phase, *batch_of(scenes, range(start, start + phase.batch), phase.side)
        first += count


def train(data: Path, output: Path, recipe: Recipe, start: Path | None) -> None:
    torch.manual_seed(recipe.seed)
    unseen = scenes_of(data, "train", TRAINING_GROUNDS, UNSEEN, 900_000)
    probe, _ = batch_of(scenes_of(data, "train", TRAINING_GROUNDS, PROBE, 777_000), range(PROBE), recipe.phases[0].side)
    model = load_checkpoint(start).build().requires_grad_() if start else start_model(probe)
    # On maps of 8x8 and below, matrices are faster than dilated depthwise convolutions.
    for stage in model.stages[2:]:
        use_matrix_levels(stage)
    model.train()
    average = copy.deepcopy(model)
    optimizer, loss_of = optimizer_of(model, recipe), nn.CrossEntropyLoss(ignore_index=IGNORED)
    started, side = time.monotonic(), recipe.phases[-1].side
    for step, (phase, images, masks) in enumerate(batches(data, recipe)):
        share = min(1.0, (step + 1) / recipe.warmup_steps) * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        for group in optimizer.param_groups:
            group["lr"] = group["top"] * share
        loss = loss_of(enlarged(model(images)), masks)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        blend(average, model, min(recipe.ema_decay, (step + 1) / (step + 10)))
        if step % 50 == 49:
            seconds = time.monotonic() - started
            print(f"step {step + 1}/{recipe.steps}  loss {loss.item():.4f}  {seconds:.0f} s", flush=True)
        if step % 500 == 499:
            print(f"mIoU of unseen scenes of training garments {miou(average, unseen, phase.side):.2f} %", flush=True)
    save_checkpoint(Checkpoint.from_model(average, preprocessing(side), CLASSES, output.stem, PALETTE), output)
    test = scenes_of(data, "t10k", TEST_GROUNDS, TEST_SCENES, seed=1)
    print(f"mIoU of {len(test)} test scenes {miou(average, test, side):.2f} %", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--output", type=Path, default=Path("build/dmformer-tiny-scenes.safetensors"))
    parser.add_argument("--start", type=Path, help="weights of an earlier run to go on from")
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    train(arguments.data, arguments.output, CONTINUED if arguments.start else Recipe(), arguments.start)


if __name__ == "__main__":
    main()
