"""The weight file of an ML Program: MIL's blob storage, version 2.

A header of 64 bytes (u32 count, u32 version), then for each tensor a record of 64 bytes (u32 sentinel ``0xDEADBEEF``,
u32 type, u64 bytes, u64 offset of the data), and the data, everything aligned to 64 bytes and little-endian
(coremltools, mlmodel/src/MILBlob/Blob/StorageFormat.hpp).
"""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmformer.runtimes.mlprogram.messages import Type, closed

VERSION = 2
SENTINEL = 0xDEADBEEF
RECORD = struct.Struct("<IIQQ")
HEADER = struct.Struct("<II")
ALIGNMENT = 64
TYPES = {1: "float16", 2: "float32", 3: "uint8", 4: "int8", 6: "int16", 7: "uint16", 14: "int32", 15: "uint32"}
"""MILBlob's BlobDataType."""


class Blob:
    """An opened weight file. Arrays that are read from it are copies."""

    def __init__(self, path: Path) -> None:
        """Opens a file.

        Raises:
            ValueError: It is no blob file of version 2.
            OSError: It cannot be read.
        """
        self._name = path.name
        # Opening a FIFO would wait for a writer.
        if path.exists() and not path.is_file():
            raise ValueError(f"{self._name} is no regular file")
        with path.open("rb") as file:
            if path.stat().st_size < ALIGNMENT:
                raise ValueError(f"{self._name} is too short to hold weights")
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        _, version = HEADER.unpack_from(self._data)
        if version != VERSION:
            raise ValueError(f"{self._name} is a weight file of version {version}, this reads version {VERSION}")

    def read(self, offset: int, kind: Type) -> NDArray[np.generic]:
        """The values of one tensor.

        Args:
            offset: Of its record.
            kind: dtype and shape that the program says it has.

        Raises:
            ValueError: The offset is beyond the end, no record is there, or it is of another type or size.
        """
        end = len(self._data)
        if offset % ALIGNMENT or offset + RECORD.size > end:
            raise ValueError(f"{self._name} has no tensor at offset {offset}: it ends at {end}")
        sentinel, number, size, start = RECORD.unpack_from(self._data, offset)
        if sentinel != SENTINEL:
            raise ValueError(f"{self._name} has no tensor at offset {offset}")
        if start + size > end:
            raise ValueError(f"{self._name} ends at {end}, within the tensor at offset {offset}")
        shape = closed(kind)
        expected = math.prod(shape) * np.dtype(kind.dtype).itemsize
        if TYPES.get(number) != kind.dtype or size != expected:
            raise ValueError(f"{self._name} holds another tensor at offset {offset} than the program expects")
        values = np.frombuffer(self._data, np.dtype(kind.dtype).newbyteorder("<"), math.prod(shape), start)
        return values.astype(kind.dtype).reshape(shape)

    def close(self) -> None:
        self._data.close()
