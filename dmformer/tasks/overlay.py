"""Pictures of classes: the colours over the image, with boundaries and a legend."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dmformer.data.known_sets import voc_palette
from dmformer.errors import DataError
from dmformer.fields import Colour, Palette

Pixels = NDArray[np.uint8]
BOUNDARY, NOWHERE = (255, 255, 255), (128, 128, 128)


def colours_of(palette: Palette | None, classes: int) -> Palette:
    """The palette where it has a colour for each class, else the usual one of Pascal VOC."""
    return palette if palette is not None and len(palette) == classes else voc_palette(classes)


def overlay(image: Pixels, classes: NDArray[np.integer], palette: Palette, opacity: float) -> Pixels:
    """A picture with the classes' colours over it and a line where classes meet; see `Segmentation.overlay`."""
    if image.shape[:2] != classes.shape:
        raise DataError(f"the picture is {image.shape[:2]}, its classes are {classes.shape}", "give the same picture")
    colours = np.asarray(palette, np.float32)[classes]
    mixed: Pixels = np.rint(image[..., :3] * (1 - opacity) + colours * opacity).astype(np.uint8)
    mixed[boundaries(classes)] = BOUNDARY
    return mixed


def painted(classes: NDArray[np.integer], palette: Palette) -> Pixels:
    """A map of classes in their colours; what counts nowhere is grey."""
    colours: Pixels = np.asarray((*palette, NOWHERE), np.uint8)[classes]
    return colours


def boundaries(classes: NDArray[np.integer]) -> NDArray[np.bool_]:
    """The pixels ``[H, W]`` whose right or lower neighbour is of another class: a line of one pixel."""
    edges = np.zeros(classes.shape, bool)
    edges[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    edges[:-1] |= classes[:-1] != classes[1:]
    return edges


def with_legend(image: Pixels, shares: dict[str, float], colours: dict[str, Colour]) -> Image.Image:
    """A picture with the names of its classes below it, each behind its colour.

    Args:
        image: uint8 RGB ``[H, W, 3]``.
        shares: Part of the picture by name, 0 to 1, in the order of the legend.
        colours: By name.
    """
    font, line, margin = ImageFont.load_default(size=14), 22, 8
    texts = [f"{name}  {share:.1%}" for name, share in shares.items()]
    column = max([int(font.getlength(text)) for text in texts], default=0) + 3 * margin + 14
    columns = max(1, image.shape[1] // column)
    rows = -(-len(texts) // columns)
    width = max(image.shape[1], column)
    page = Image.new("RGB", (width, image.shape[0] + rows * line + margin), (255, 255, 255))
    page.paste(Image.fromarray(image), (0, 0))
    draw = ImageDraw.Draw(page)
    for place, (name, text) in enumerate(zip(shares, texts, strict=True)):
        left, top = margin + place % columns * column, image.shape[0] + margin // 2 + place // columns * line
        draw.rectangle((left, top + 3, left + 14, top + 17), fill=colours[name], outline=(90, 90, 90))
        draw.text((left + 14 + margin, top + 1), text, fill=(20, 20, 20), font=font)
    return page
