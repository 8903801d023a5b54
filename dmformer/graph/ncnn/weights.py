"""ncnn's ``.bin`` file: the weights of all layers, one behind the other, with neither names nor sizes.

An array that may have several types has a tag before it (ncnn, ``src/modelbin.cpp``) and is filled up to four bytes;
all others are float32. What belongs to which layer follows from the ``.param`` file alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer.graph.ncnn.layers import Shape, Stored, stored_in
from dmformer.graph.ncnn.network import Layer, NetworkError

TAGS: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 0x01306B47: np.dtype("<f2"), 0x000D4B38: np.dtype("i1")}
ALIGNMENT = 4

Array = NDArray[Any]
"""float32, float16 or int8."""


def to_bytes(stored: Iterable[Stored], arrays: Iterable[Array]) -> bytes:
    """The file with some arrays.

    Args:
        stored: What the layers have there.
        arrays: As many, of any shape; only tagged ones may be float16 or int8.
    """
    return b"".join(_bytes(entry, array) for entry, array in zip(stored, arrays, strict=True))


def _bytes(stored: Stored, array: Array) -> bytes:
    if array.size != stored.count or not (stored.tagged or array.dtype == np.float32):
        raise NetworkError(f"{array.size} values of {array.dtype} do not fit {stored}")
    tag = next(tag for tag, dtype in TAGS.items() if dtype == array.dtype.newbyteorder("<"))
    content = np.ascontiguousarray(array, TAGS[tag]).tobytes()
    filled = content + bytes(-len(content) % ALIGNMENT)
    return tag.to_bytes(4, "little") + filled if stored.tagged else filled


def from_bytes(layers: Sequence[Layer], shapes: Mapping[str, Shape], content: bytes) -> dict[str, list[Array]]:
    """The arrays of each layer that has some, by its name.

    Raises:
        NetworkError: The file is not that of these layers: an array is not there, of no known type, or something is
            left over.
    """
    arrays: dict[str, list[Array]] = {}
    place = 0
    for layer, stored in stored_in(layers, shapes):
        dtype = TAGS[0]
        if stored.tagged:
            known = TAGS.get(int.from_bytes(content[place : place + 4], "little"))
            if known is None or (known == np.int8) != bool(layer.integer(8)):
                raise NetworkError(f"the weights of layer {layer.name[:80]} are of another type than it says")
            dtype, place = known, place + 4
        size = stored.count * dtype.itemsize
        if place + size > len(content):
            raise NetworkError(f"the weights end at byte {len(content)}, within layer {layer.name[:80]}")
        arrays.setdefault(layer.name, []).append(np.frombuffer(content, dtype, stored.count, place))
        place += size + -size % ALIGNMENT
    if place != len(content):
        raise NetworkError(f"the weights have {len(content)} bytes, and the layers {place}")
    return arrays
