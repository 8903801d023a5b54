"""A class for every pixel of image files, and pictures of the classes.

python segment.py photo.jpg [more.png ...] [--output FOLDER]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from files import run_files
from parameters import LABELS, LOGIT, PALETTE, RESIZE, SIZE, STRIDE

ROWS = 16
"""Of a picture that are decided together: scores of all its pixels would take its memory many times."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Find the class of every pixel of image files.")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--output", type=Path, help="folder for pictures: NAME.overlay.png, and NAME.classes.png")
    parser.add_argument("--opacity", type=float, default=0.5, help="of the colours over the picture")
    asked = parser.parse_args()

    def show(path: str, image: np.ndarray, classes: np.ndarray, elapsed_ms: float) -> None:
        print(f"{path}  ({elapsed_ms:.1f} ms)")
        for name, share in shares_of(classes).items():
            print(f"  {share:7.2%}  {name}")
        if asked.output is not None:
            save(asked.output, Path(path).name, with_legend(overlay(image, classes, asked.opacity), classes), classes)

    return run_files(asked.images, show, lambda given, image: classes_of(given, image.shape[:2]))


def save(folder: Path, name: str, picture: Image.Image, classes: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    picture.save(folder / f"{name}.overlay.png")
    indexed(classes).save(folder / f"{name}.classes.png")


def classes_of(given: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The class of every pixel [H, W] of a picture.

    Args:
        given: What the engine gives for the picture: classes [h, w] or scores [classes, h, w].
        size: The picture's height and width.
    """
    top, left, height, width = placement(size)
    step = 1 if given.ndim == 2 else STRIDE
    rows = (top + (np.arange(size[0]) + 0.5) * height / size[0]) / step - 0.5
    columns = (left + (np.arange(size[1]) + 0.5) * width / size[1]) / step - 0.5
    if given.ndim == 2:
        rows, columns = (
            np.clip(np.floor(at + 0.5).astype(np.int64), 0, side - 1) for at, side in zip((rows, columns), given.shape)
        )
        return given[rows[:, None], columns]
    return decided(given, hats(rows, given.shape[1]), hats(columns, given.shape[2]))


def placement(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where a picture lies in the input: first row, first column, rows, columns."""
    if RESIZE != "letterbox":
        return 0, 0, *SIZE
    scale = min(SIZE[0] / size[0], SIZE[1] / size[1])
    height, width = (min(most, max(1, round(side * scale))) for most, side in zip(SIZE, size))
    return (SIZE[0] - height) // 2, (SIZE[1] - width) // 2, height, width


def hats(at: np.ndarray, side: int) -> np.ndarray:
    """Weights [n, side] of a bilinear interpolation at n places; the outermost values are held beyond the edge."""
    distance = np.abs(np.clip(at, 0, side - 1)[:, None] - np.arange(side))
    return np.maximum(0, 1 - distance).astype(np.float32)


def decided(scores: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The largest interpolated score at every pixel; of one plane alone whether it exceeds the threshold."""
    last = np.ascontiguousarray(scores.transpose(1, 2, 0))
    found = np.empty((len(rows), len(columns)), np.uint8 if len(LABELS) <= 256 else np.int32)
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS] @ last.reshape(len(last), -1)
        values = columns @ part.reshape(-1, *last.shape[1:])
        found[start : start + ROWS] = values[..., 0] > LOGIT if len(scores) == 1 else values.argmax(-1)
    return found


def shares_of(classes: np.ndarray) -> dict[str, float]:
    """The part of the picture that each class covers, the largest first; only classes that are there."""
    counts = np.bincount(classes.ravel(), minlength=len(LABELS))
    order = sorted(np.flatnonzero(counts), key=lambda index: -counts[index])
    return {LABELS[index]: float(counts[index] / classes.size) for index in order}


def overlay(image: np.ndarray, classes: np.ndarray, opacity: float = 0.5) -> np.ndarray:
    """The picture with the classes' colours over it and a white line where classes meet: uint8 [H, W, 3]."""
    colours = np.asarray(PALETTE, np.float32)[classes]
    mixed = np.rint(image * (1 - opacity) + colours * opacity).astype(np.uint8)
    edges = np.zeros(classes.shape, bool)
    edges[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    edges[:-1] |= classes[:-1] != classes[1:]
    mixed[edges] = 255
    return mixed


def with_legend(picture: np.ndarray, classes: np.ndarray) -> Image.Image:
    """A picture with the names of its classes below it, each behind its colour."""
    font, line = ImageFont.load_default(size=14), 22
    texts = [(name, f"{name}  {share:.1%}") for name, share in shares_of(classes).items()]
    column = max(int(font.getlength(text)) for _, text in texts) + 38
    columns = max(1, picture.shape[1] // column)
    height, width = picture.shape[0] + -(-len(texts) // columns) * line + 8, max(picture.shape[1], column)
    page = Image.new("RGB", (width, height), (255, 255, 255))
    page.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(page)
    for place, (name, text) in enumerate(texts):
        left, top = 8 + place % columns * column, picture.shape[0] + 4 + place // columns * line
        colour = PALETTE[LABELS.index(name)]
        draw.rectangle((left, top + 3, left + 14, top + 17), fill=colour, outline=(90, 90, 90))
        draw.text((left + 22, top + 1), text, fill=(20, 20, 20), font=font)
    return page


def indexed(classes: np.ndarray) -> Image.Image:
    """The classes themselves as an image: a byte with a palette, of more than 256 classes 16 bits of grey."""
    if classes.dtype != np.uint8 and len(LABELS) > 256:
        return Image.fromarray(classes.astype(np.uint16))
    image = Image.fromarray(classes.astype(np.uint8))
    image.putpalette(bytes(np.asarray(PALETTE, np.uint8)))
    return image


if __name__ == "__main__":
    sys.exit(main())
