"""Two-dimensional convolution as Core ML's ``conv`` defines it, in NumPy (MIL operators, iOS 15: conv)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Geometry:
    """How a kernel is laid over an image.

    Attributes:
        strides: Vertical and horizontal.
        pads: Rows above and below, columns left and right.
        dilations: Vertical and horizontal.
        groups: Into which input and output channels are split.
    """

    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1


def padding(
    kind: str, pads: tuple[int, ...], kernel: tuple[int, int], geometry: Geometry, size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """The rows and columns of zeros that a ``pad_type`` stands for.

    Args:
        kind: ``valid``, ``custom``, ``same`` (more below and right where it is odd) or ``same_lower`` (more above).
        pads: For ``custom``: above, below, left, right.
        kernel: Height and width.
        geometry: Strides and dilations.
        size: Height and width of the input.

    Raises:
        ValueError: An unknown kind, or ``pads`` of another length.
    """
    if kind == "valid":
        return (0, 0, 0, 0)
    if kind == "custom":
        if len(pads) != 4:
            raise ValueError(f"conv: 'pad' has {len(pads)} values, not 4")
        return (pads[0], pads[1], pads[2], pads[3])
    if kind not in ("same", "same_lower"):
        raise ValueError(f"conv: pad_type {kind!r} is not known")
    found: list[int] = []
    for side, extent, stride, dilation in zip(size, kernel, geometry.strides, geometry.dilations, strict=True):
        reach = (extent - 1) * dilation + 1
        total = max(0, (-(-side // stride) - 1) * stride + reach - side)
        small, large = total // 2, total - total // 2
        found += [small, large] if kind == "same" else [large, small]
    return (found[0], found[1], found[2], found[3])


def conv2d(x: Float, weight: Float, bias: Float | None, geometry: Geometry) -> Float:
    """Convolves in float32.

    Args:
        x: ``[N, C, H, W]``.
        weight: ``[out, C / groups, kh, kw]``.
        bias: ``[out]``, or None.
        geometry: Strides, padding, dilations and groups.

    Returns:
        ``[N, out, H', W']`` with ``H' = floor((H + pads - dilation * (kh - 1) - 1) / stride) + 1``.

    Raises:
        ValueError: Channels and groups do not fit, or the kernel is larger than the padded input.
    """
    channels, groups = x.shape[1], geometry.groups
    if groups < 1 or channels != weight.shape[1] * groups or len(weight) % groups:
        raise ValueError(f"conv: {channels} channels in {groups} groups do not fit a weight {weight.shape}")
    extent = output_size(x.shape[2:], weight.shape[2:], geometry)
    if min(extent) < 1:
        raise ValueError(f"conv: the kernel {weight.shape[2:]} is larger than the padded input {x.shape[2:]}")
    if weight.shape[1] == 1 and groups > 1:
        found = _depthwise(x, weight, geometry, extent)
    elif weight.shape[2:] == (1, 1) and geometry == Geometry():
        found = np.matmul(weight.reshape(len(weight), -1), x.reshape(len(x), channels, -1)).reshape(len(x), -1, *extent)
    else:
        found = _grouped(x, weight, geometry, extent)
    return found if bias is None else found + bias.reshape(-1, 1, 1)


def output_size(size: tuple[int, ...], kernel: tuple[int, ...], geometry: Geometry) -> tuple[int, int]:
    """Height and width of the result."""
    top, bottom, left, right = geometry.pads
    padded = (size[0] + top + bottom, size[1] + left + right)
    height, width = (
        (side - dilation * (reach - 1) - 1) // stride + 1
        for side, reach, stride, dilation in zip(padded, kernel, geometry.strides, geometry.dilations, strict=True)
    )
    return height, width


def _depthwise(x: Float, weight: Float, geometry: Geometry, extent: tuple[int, int]) -> Float:
    """One product for each position of the kernel, over the part of the input that it sees."""
    multiplier = len(weight) // x.shape[1]
    source = x if multiplier == 1 else np.repeat(x, multiplier, axis=1)
    found = np.zeros((len(x), len(weight), *extent), np.float32)
    for row in range(weight.shape[2]):
        rows = _seen(row, 0, x.shape[2], extent[0], geometry)
        for column in range(weight.shape[3]):
            columns = _seen(column, 1, x.shape[3], extent[1], geometry)
            if rows is None or columns is None:
                continue
            taken = source[:, :, rows[1], columns[1]]
            found[:, :, rows[0], columns[0]] += weight[:, 0, row, column][:, None, None] * taken
    return found


def _seen(tap: int, axis: int, side: int, count: int, geometry: Geometry) -> tuple[slice, slice] | None:
    """Which results one position of the kernel adds to along an axis, and from where; None where it sees zeros only."""
    stride, shift = geometry.strides[axis], tap * geometry.dilations[axis] - geometry.pads[2 * axis]
    first = max(0, -(shift // stride))
    last = min(count - 1, (side - 1 - shift) // stride)
    if last < first:
        return None
    begin = first * stride + shift
    return slice(first, last + 1), slice(begin, last * stride + shift + 1, stride)


def _grouped(x: Float, weight: Float, geometry: Geometry, extent: tuple[int, int]) -> Float:
    """Patches as columns of a matrix, multiplied with the kernels, group by group."""
    top, bottom, left, right = geometry.pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    count, inner, kernel = len(x), weight.shape[1], weight.shape[2:]
    by_image, by_channel, by_row, by_column = padded.strides
    (down, across), (apart, beside) = geometry.strides, geometry.dilations
    windows = as_strided(
        padded,
        (count, x.shape[1], *kernel, *extent),
        (by_image, by_channel, by_row * apart, by_column * beside, by_row * down, by_column * across),
        writeable=False,
    )
    columns = windows.reshape(count, geometry.groups, inner * kernel[0] * kernel[1], extent[0] * extent[1])
    rows = weight.reshape(geometry.groups, len(weight) // geometry.groups, -1)
    found: Float = np.matmul(rows, columns).reshape(count, len(weight), *extent)
    return found
