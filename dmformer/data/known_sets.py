"""Public data sets with masks: how their files lie, and what their classes are called and coloured."""

from __future__ import annotations

from dataclasses import dataclass

from dmformer.fields import Palette


@dataclass(frozen=True)
class Layout:
    """Two folders side by side: the masks lie in the one as the images do in the other.

    Attributes:
        images: Name of the images' folder, in lower case; ``masks`` of the masks'.
        image_ending: What an image's name ends with before its suffix, where its mask's ends with ``mask_ending``.
        listing: File under the root that names the images to take, one a line without suffix.
        names: File under the root with the classes' names: ADE20K's.
        classes: The classes' names where the layout alone tells them, and their ``palette``.
        advice: What to do where there are images and no masks.
    """

    images: str
    masks: str
    image_ending: str = ""
    mask_ending: str = ""
    listing: str | None = None
    names: str | None = None
    classes: tuple[str, ...] | None = None
    palette: Palette | None = None
    advice: str = "Give every image a mask with the same name and the suffix .png."


def voc_palette(colours: int) -> Palette:
    """Pascal VOC's: the bits of a class's number, three at a time, are spread over R, G and B from the highest down."""
    return tuple(
        tuple(sum((number >> 3 * level + channel & 1) << 7 - level for level in range(8)) for channel in range(3))  # type: ignore[misc]
        for number in range(colours)
    )


CITYSCAPES = {
    "road": (128, 64, 128), "sidewalk": (244, 35, 232), "building": (70, 70, 70), "wall": (102, 102, 156),
    "fence": (190, 153, 153), "pole": (153, 153, 153), "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0), "vegetation": (107, 142, 35), "terrain": (152, 251, 152), "sky": (70, 130, 180),
    "person": (220, 20, 60), "rider": (255, 0, 0), "car": (0, 0, 142), "truck": (0, 0, 70), "bus": (0, 60, 100),
    "train": (0, 80, 100), "motorcycle": (0, 0, 230), "bicycle": (119, 11, 32),
}  # fmt: skip
"""The 19 classes of the benchmark by train id, as its scripts have them."""
VOC = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

LAYOUTS = (
    Layout(
        "leftimg8bit", "gtfine", "_leftImg8bit", "_gtFine_labelTrainIds",
        classes=tuple(CITYSCAPES), palette=tuple(CITYSCAPES.values()),
        advice="Make the masks of train ids first: csCreateTrainIdLabelImgs of cityscapesscripts.",
    ),
    Layout(
        "jpegimages", "segmentationclass", listing="ImageSets/Segmentation/val.txt",
        classes=VOC, palette=voc_palette(len(VOC)),
    ),
    Layout("images", "annotations", names="objectInfo150.txt"),
    Layout("img_dir", "ann_dir"),
    *(Layout(images, masks) for images in ("images", "image", "imgs", "img") for masks in ("masks", "mask")),
    *(Layout(images, masks) for images in ("images", "imgs") for masks in ("labels", "annotations")),
)  # fmt: skip
"""Looked for in this order."""
