"""Composed scenes: garments of Fashion-MNIST on real photographs, with the class of every pixel.

Composites, not photographs of scenes: several garments lie at random places and scales on a crop of a photograph, some
over others, and a mask follows from the garments' own pixels. The same seed gives the same scene on every machine:
random numbers are Python's, everything else is whole numbers and Pillow's resizing.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CLASSES = (
    "ground", "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
PALETTE = (
    (64, 64, 64), (230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48), (145, 30, 180),
    (70, 240, 240), (240, 50, 230), (210, 245, 60), (170, 110, 40),
)  # fmt: skip
TRAINING_GROUNDS = ("astronaut", "brick", "camera", "chelsea", "gravel", "hubble_deep_field", "retina")
TEST_GROUNDS = ("coffee", "grass", "rocket")
SIDES = (96, 160)
"""Shortest and longest side of a scene in pixels."""
GARMENTS = (2, 4)
SCALES = (40, 70)
"""Side of a garment's square over the scene's shorter side, in hundredths."""
MOST_COVERED = 20
"""Hundredths of a garment that another may cover."""
BRIGHTNESS = (150, 255)
"""Of a ground's channels, in parts of 255, each its own; the garments stay grey as they are."""
FAINT = 12
"""Values up to this are the empty surroundings of a garment."""
FORM = "1"
"""Changes with what this file makes of the same seed."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Scenes(Sequence[tuple[Pixels, NDArray[np.int16]]]):
    """Scenes that are made when they are asked for: image uint8 ``[H, W, 3]``, mask int16 ``[H, W]``.

    Attributes:
        garments: uint8 ``[N, 28, 28]``; ``labels`` their classes, 0 to 9, ``[N]``.
        grounds: uint8 ``[H, W, 3]`` each.
        count: How many scenes there are.
        seed: The first scene's; the others' follow.
        crowd: Fewest and most garments that are thrown into a scene; those that would cover too much stay out.
    """

    garments: Pixels
    labels: NDArray[np.integer]
    grounds: tuple[Pixels, ...]
    count: int
    seed: int = 0
    crowd: tuple[int, int] = GARMENTS

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Pixels, NDArray[np.int16]]:  # type: ignore[override]
        chance = _Chance(self.seed + range(self.count)[index])
        image = chance.cut(self.grounds[chance.draw(0, len(self.grounds) - 1)])
        mask, areas = np.zeros(image.shape[:2], np.int16), list[int]()
        for _ in range(chance.draw(*self.crowd)):
            chosen = chance.draw(0, len(self.garments) - 1)
            _lay(image, mask, areas, self.garments[chosen], int(self.labels[chosen]) + 1, chance)
        return image, mask

    def digest(self) -> str:
        """SHA-256 (hex) of all that the scenes follow from."""
        digest = hashlib.sha256(f"{FORM} {self.count} {self.seed} {self.crowd}".encode())
        for array in (self.garments, self.labels.astype(np.uint8), *self.grounds):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def read_grounds(names: Sequence[str], folder: Path | None = None) -> tuple[Pixels, ...]:
    """The photographs of these names, which lie beside this file."""
    folder = folder or Path(__file__).parent / "grounds"
    return tuple(np.asarray(Image.open(folder / f"{name}.jpg").convert("RGB")) for name in names)


class _Chance:
    """Draws for one scene; only `random.random`, whose numbers Python promises to keep."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random  # noqa: S311 # a picture, no secret

    def draw(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self._random() * (high - low + 1))

    def cut(self, ground: Pixels) -> Pixels:
        """A crop of a photograph in the size of the scene, perhaps mirrored, with another brightness per channel."""
        height, width = self.draw(*SIDES), self.draw(*SIDES)
        # The crop has the scene's form; the photograph's shorter side holds 1 to 2 of it.
        share = self.draw(50, 100)
        most = min(ground.shape[0] * 100 // height, ground.shape[1] * 100 // width)
        tall, wide = height * most * share // 10_000, width * most * share // 10_000
        top, left = self.draw(0, ground.shape[0] - tall), self.draw(0, ground.shape[1] - wide)
        crop = Image.fromarray(ground[top : top + tall, left : left + wide]).resize((width, height), _SMOOTH)
        pixels = np.array(crop)[:, :: -1 if self.draw(0, 1) else 1]
        factors = np.array([self.draw(*BRIGHTNESS) for _ in range(3)], np.uint16)
        tinted: Pixels = (pixels.astype(np.uint16) * factors // 255).astype(np.uint8)
        return tinted


_SMOOTH = Image.Resampling.BILINEAR


def silhouette(garment: Pixels) -> Pixels:
    """Where a garment is, 255 or 0: all that has some of it on each of its four sides, so that it has no holes."""
    seen = garment > FAINT
    inside = np.ones_like(seen)
    for axis in (0, 1):
        inside &= np.maximum.accumulate(seen, axis)
        inside &= np.flip(np.maximum.accumulate(np.flip(seen, axis), axis), axis)
    return np.where(inside, 255, 0).astype(np.uint8)


def _lay(
    image: Pixels, mask: NDArray[np.int16], areas: list[int], garment: Pixels, label: int, chance: _Chance
) -> None:
    """Puts a garment into a scene, unless it would cover too much of another or be covered too much itself."""
    height, width = mask.shape
    side = min(height, width) * chance.draw(*SCALES) // 100
    top, left = chance.draw(-side // 8, height - side * 7 // 8), chance.draw(-side // 8, width - side * 7 // 8)
    mirror = -1 if chance.draw(0, 1) else 1
    cover = _enlarged(silhouette(garment)[:, ::mirror], side)
    cloth = np.repeat(_enlarged(garment[:, ::mirror], side)[:, :, None], 3, axis=2)
    rows, columns = slice(max(0, top), top + side), slice(max(0, left), left + side)
    part = slice(max(0, -top), height - top), slice(max(0, -left), width - left)
    cover, cloth = cover[part], cloth[part]
    solid, below = cover >= 128, mask[rows, columns]
    area, shared = int(solid.sum()), int((below[solid] > 0).sum())
    if area == 0 or shared * 100 > MOST_COVERED * min([area, *areas]):
        return
    opaque = cover[:, :, None].astype(np.uint32)
    mixed = image[rows, columns] * (255 - opaque) + cloth * opaque
    image[rows, columns] = ((mixed + 127) // 255).astype(np.uint8)
    below[solid] = label
    areas.append(area)


def _enlarged(square: Pixels, side: int) -> Pixels:
    return np.asarray(Image.fromarray(np.ascontiguousarray(square)).resize((side, side), _SMOOTH))
