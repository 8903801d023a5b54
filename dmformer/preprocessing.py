"""From an image to the tensor that the model takes: the one way, used in every room and on every device.

`Preprocessing` is the parameters, as data that travels in a manifest; `preprocess` applies them in two steps: `fit`
gives pixels of the model's size, which engines with embedded preprocessing take, and normalization makes a tensor.
Resizing is Pillow's, with antialiasing; sizes and crops are rounded as by torchvision's ``Resize`` and ``CenterCrop``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dmformer.data.images import MAX_PIXELS, check_pixels_array, load_image
from dmformer.errors import DataError, UsageError
from dmformer.geometry import placement

__all__ = ["IMAGENET", "MAX_PIXELS", "Preprocessing", "fit", "fit_batch", "load_image", "pixels_of", "preprocess",
           "preprocess_batch"]  # fmt: skip

MAX_SIDE = 8192
_MAX_RESIZED_PIXELS = 2**27  # An extreme aspect ratio could ask for any amount of memory otherwise.
_IMAGENET_CROP_RATIO = 0.875
_LARGEST_MEAN, _LARGEST_STD = 2.0, 8.0
"""No data of 0..1 has a mean beyond 1 or a deviation beyond a half; no usual data of 0..255 stays below these."""
_SMALLEST_STD = 0.003
"""The smallest deviation in use, 1/255, keeps pixels as they are: below it one was divided by 255 twice."""
_PIXEL_TOLERANCE = 0.02
"""How far from a whole number a pixel may come out when the normalization is undone in float32."""

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
# Bounded well inside float32, in which the arithmetic is done.
Mean = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Std = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]


class Preprocessing(BaseModel):
    """How an image becomes a model input.

    Attributes:
        size: Height and width of the model input, each 1 to 8192.
        resize: ``"exact"`` stretches to ``size``; ``"shorter"`` brings the shorter side to ``resize_to`` and cuts
            ``size`` out of the centre; ``"letterbox"`` fits the whole image in and pads with ``fill``.
        resize_to: The shorter side after the resize, for ``"shorter"`` only, at least the longer side of
            ``size``. None means ``round(max(size) / 0.875)``, ImageNet's 256 for 224.
        interpolation: Pillow's filter.
        mean: Subtracted per channel after scaling to 0..1, in the order of the tensor's channels. The length is
            the number of channels, 1 or 3.
        std: Divides per channel after that; at least 0.003; as long as ``mean``.
        channel_order: Order of the tensor's channels; ``"grey"`` has one, the others three.
        fill: Padding of the letterbox in every channel, 0 to 255.

    Examples:
        >>> import dmformer
        >>> dmformer.Preprocessing(size=(224, 224), resize_to=256).shape
        (3, 224, 224)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: tuple[Side, Side]
    resize: Literal["exact", "shorter", "letterbox"] = "shorter"
    resize_to: Annotated[int, Field(ge=1, le=2 * MAX_SIDE)] | None = None
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    mean: Annotated[tuple[Mean, ...], Field(min_length=1, max_length=3)] = (0.485, 0.456, 0.406)
    std: Annotated[tuple[Std, ...], Field(min_length=1, max_length=3)] = (0.229, 0.224, 0.225)
    channel_order: Literal["rgb", "bgr", "grey"] = "rgb"
    fill: Annotated[int, Field(ge=0, le=255)] = 114

    @model_validator(mode="after")
    def _channels_agree(self) -> Preprocessing:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} values but std has {len(self.std)}: give one per channel")
        expected = 1 if self.channel_order == "grey" else 3
        if self.channels != expected:
            raise ValueError(
                f"channel order {self.channel_order!r} has {expected} channels, but mean and std have {self.channels}"
            )
        return self

    @model_validator(mode="after")
    def _values_are_of_zero_to_one(self) -> Preprocessing:
        if max(map(abs, self.mean)) > _LARGEST_MEAN or max(self.std) > _LARGEST_STD:
            # Not converted: beside a deviation of 1, or where only one of the two was given, nobody knows the unit.
            given = f"mean {self.mean} and std {self.std}".replace("(", "").replace(",)", "").replace(")", "")
            raise ValueError(f"{given} look like values of pixels 0..255; divide both by 255: values of 0..1 are meant")
        if min(self.std) < _SMALLEST_STD:
            raise ValueError(f"std {self.std} looks divided by 255 twice: values of 0..1 are meant")
        return self

    @model_validator(mode="after")
    def _resize_to_covers_the_crop(self) -> Preprocessing:
        if self.resize_to is None:
            return self
        if self.resize != "shorter":
            raise ValueError(f"resize_to belongs to resize 'shorter', not {self.resize!r}: leave it out")
        if self.resize_to < max(self.size):
            raise ValueError(f"resize_to {self.resize_to} is smaller than the crop {self.size}")
        return self

    @property
    def channels(self) -> int:
        """Channels of the model input: 1 or 3."""
        return len(self.mean)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one tensor: (channels, height, width)."""
        return (self.channels, *self.size)

    @property
    def shorter_side(self) -> int:
        """The shorter side that resize ``"shorter"`` brings an image to before the crop."""
        return self.resize_to if self.resize_to is not None else round(max(self.size) / _IMAGENET_CROP_RATIO)

    def resized_to(self, size: int | tuple[int, int]) -> Preprocessing:
        """The same for another input size; a given ``resize_to`` is scaled by the ratio of the longer sides.

        Args:
            size: One side of a square, or (height, width).

        Raises:
            UsageError: A side is not from 1 to 8192.
        """
        height_width = (size, size) if isinstance(size, int) else size
        values = self.model_dump() | {"size": height_width}
        try:
            if self.resize_to is not None:
                longer = max(height_width)
                values["resize_to"] = max(longer, round(self.resize_to * longer / max(self.size)))
            return Preprocessing.model_validate(values)
        except ValidationError as error:
            raise UsageError(f"input size {height_width} is impossible", f"give sides from 1 to {MAX_SIDE}") from error


IMAGENET = Preprocessing(size=(224, 224))
"""The usual ImageNet evaluation: shorter side to 256, centre crop of 224, ImageNet's mean and deviation."""


def preprocess(image: NDArray[Any], spec: Preprocessing) -> NDArray[np.float32]:
    """Turn one image into a model input.

    Args:
        image: uint8, 0 to 255, of shape [H, W] or [H, W, 1] (grey), [H, W, 3] (RGB) or [H, W, 4] (RGBA, of
            which alpha is dropped): what `load_image` returns, or any array of that kind. Grey is repeated
            for a model with three channels; RGB becomes grey by Pillow's ``"L"`` (ITU-R 601) otherwise.
        spec: The parameters.

    Returns:
        float32 [C, H, W], contiguous, owned by the caller: ``(pixels / 255 - mean) / std``, computed in float32.

    Raises:
        DataError: Another dtype or shape, or an aspect ratio so extreme that resizing would exhaust memory.
    """
    tensor = np.empty(spec.shape, dtype=np.float32)
    _preprocess_into(tensor, image, spec)
    return tensor


def preprocess_batch(images: Sequence[NDArray[Any]], spec: Preprocessing) -> NDArray[np.float32]:
    """`preprocess` for several images, of any sizes: float32 [N, C, H, W], contiguous; N may be 0.

    Raises:
        DataError: As `preprocess` does.
    """
    batch = np.empty((len(images), *spec.shape), dtype=np.float32)
    for tensor, image in zip(batch, images, strict=True):
        _preprocess_into(tensor, image, spec)
    return batch


def fit(image: NDArray[Any], spec: Preprocessing) -> NDArray[np.uint8]:
    """All of `preprocess` but the normalization: resize, crop or padding, and the order of the channels.

    Args:
        image: As `preprocess` takes it.
        spec: The parameters; mean and std are not used.

    Returns:
        uint8 [H, W, C], 0 to 255, channels in the order of the tensor's.

    Raises:
        DataError: As `preprocess` does.
    """
    fitted = np.asarray(_fit(_to_pillow(image, spec), spec))
    pixels = fitted[:, :, np.newaxis] if fitted.ndim == 2 else fitted
    return pixels[:, :, ::-1] if spec.channel_order == "bgr" else pixels


def fit_batch(images: Sequence[NDArray[Any]], spec: Preprocessing) -> NDArray[np.uint8]:
    """`fit` for several images, of any sizes: uint8 [N, H, W, C], contiguous, owned by the caller; N may be 0.

    Raises:
        DataError: As `preprocess` does.
    """
    batch = np.empty((len(images), *spec.size, spec.channels), dtype=np.uint8)
    for pixels, image in zip(batch, images, strict=True):
        pixels[:] = fit(image, spec)
    return batch


def pixels_of(tensors: NDArray[np.float32], spec: Preprocessing) -> NDArray[np.uint8]:
    """The pixels that `preprocess` made tensors of: its normalization undone, exactly.

    Args:
        tensors: float32 [N, C, H, W].
        spec: The parameters that they were made by.

    Returns:
        uint8 [N, C, H, W] in the order of the tensor's channels.

    Raises:
        UsageError: No picture of 8 bits gives these tensors.
    """
    shape = (1, -1, 1, 1)
    mean, deviation = (np.asarray(values, np.float64).reshape(shape) for values in (spec.mean, spec.std))
    exact = (tensors.astype(np.float64) * deviation + mean) * 255
    whole = np.rint(exact)
    # Means and deviations far from 0..1 leave fewer digits of a pixel in float32.
    allowed = _PIXEL_TOLERANCE + 255 * np.abs(tensors).max(initial=0) * float(deviation.max()) * 2**-20
    if not np.isfinite(exact).all() or np.abs(exact - whole).max() > allowed or whole.min() < 0 or whole.max() > 255:
        raise UsageError(
            "the engine takes pictures of 8 bits, and no such picture gives this tensor",
            "preprocess a picture with dmformer.preprocessing, or export without --embed-preprocessing "
            "(for Core ML with --tensor-input)",
        )
    return whole.astype(np.uint8)


def _preprocess_into(tensor: NDArray[np.float32], image: NDArray[Any], spec: Preprocessing) -> None:
    pixels = fit(image, spec).transpose(2, 0, 1)
    per_channel = (spec.channels, 1, 1)
    np.divide(pixels, np.float32(255), out=tensor, dtype=np.float32)
    tensor -= np.asarray(spec.mean, dtype=np.float32).reshape(per_channel)
    tensor /= np.asarray(spec.std, dtype=np.float32).reshape(per_channel)


def _to_pillow(image: NDArray[Any], spec: Preprocessing) -> Image.Image:
    pixels = check_pixels_array(image)
    if pixels.shape[2] == 1:
        pillow = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0]))
    else:
        pillow = Image.fromarray(np.ascontiguousarray(pixels[:, :, :3]))
    return pillow.convert("L" if spec.channel_order == "grey" else "RGB")


def _fit(image: Image.Image, spec: Preprocessing) -> Image.Image:
    return _shorter_then_crop(image, spec) if spec.resize == "shorter" else _whole(image, spec)


def _shorter_then_crop(image: Image.Image, spec: Preprocessing) -> Image.Image:
    side = spec.shorter_side
    # The longer side is truncated, not rounded, as in torchvision.
    width = side if image.width <= image.height else int(side * image.width / image.height)
    height = side if image.height <= image.width else int(side * image.height / image.width)
    resized = _resize(image, width, height, spec)
    top = round((height - spec.size[0]) / 2.0)
    left = round((width - spec.size[1]) / 2.0)
    return resized.crop((left, top, left + spec.size[1], top + spec.size[0]))


def _whole(image: Image.Image, spec: Preprocessing) -> Image.Image:
    place = placement((image.height, image.width), spec.size, spec.resize)
    canvas = Image.new(image.mode, spec.size[::-1], (spec.fill,) * len(image.getbands()))
    canvas.paste(_resize(image, place.width, place.height, spec), (place.left, place.top))
    return canvas


def _resize(image: Image.Image, width: int, height: int, spec: Preprocessing) -> Image.Image:
    if (image.width, image.height) == (width, height):
        return image
    # Pillow resizes the rows first: its intermediate image has the new width and the old height.
    if width * max(height, image.height) > _MAX_RESIZED_PIXELS:
        raise DataError(
            f"an image of {image.width}x{image.height} pixels is too elongated to be resized to {width}x{height}",
            "Remove or crop the image.",
        )
    return image.resize((width, height), _FILTERS[spec.interpolation])
