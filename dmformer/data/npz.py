"""Arrays of an ``.npz``, for data sets and golden samples: everything is bounded before it is read, nothing unpickled.

The header of a member is matched, not evaluated: NumPy's own reader hands it to Python's parser, which lets out a
dozen kinds of errors on damage. Format: ``numpy.lib.format``, versions 1.0 to 3.0.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAX_DIRECTORY = 1 << 22
_MAX_HEADER = 1 << 12
_MAX_DIMENSIONS = 8
_MAX_REASON = 200
_CHUNK = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What NumPy writes; the others' decompressors ask for memory on a file's word."""

_LENGTHS = {b"\x01\x00": "<H", b"\x02\x00": "<I", b"\x03\x00": "<I"}
_DESCR = re.compile(r"""['"]descr['"]\s*:\s*['"]([<>|=]?[A-Za-z][0-9]{0,9})['"]""")
_ORDER = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(([0-9L,\s]{0,400})\)""")

_DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
)
"""What zipfile and zlib let out on a damaged file; NotImplementedError and RecursionError are RuntimeErrors."""


class ArchiveError(Exception):
    """An archive that cannot be read: one line, bounded, which does not name the file."""


@dataclass(frozen=True)
class Header:
    """What a member says that it holds, checked to be possible.

    Attributes:
        shape: At most eight dimensions.
        dtype: Of one element.
        fortran: Whether the first index varies fastest.
        offset: Bytes before the data.
        stored: Bytes of data, unpacked, as the archive's directory says.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int
    stored: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


@dataclass(frozen=True)
class Archive:
    """An opened ``.npz``: see `opened`."""

    file: zipfile.ZipFile
    headers: Mapping[str, Header]

    def read(self, key: str, max_bytes: int) -> NDArray[Any]:
        """One array.

        Raises:
            ArchiveError: It holds Python objects, or is larger than allowed or than the file.
        """
        header = self.headers[key]
        if header.dtype.hasobject:
            raise ArchiveError(f"{key!r} holds pickled Python objects, which are never loaded")
        if header.nbytes > max_bytes or math.prod(header.shape) > max_bytes:
            raise ArchiveError(f"{key!r} declares {header.nbytes} bytes, and the limit is {max_bytes}")
        if header.nbytes > header.stored:
            raise ArchiveError(f"{key!r} declares more data than the file holds")
        with self.file.open(f"{key}.npy") as member:
            member.read(header.offset)
            data = bytearray()
            while len(data) < header.nbytes and (part := member.read(min(_CHUNK, header.nbytes - len(data)))):
                data += part
        if len(data) != header.nbytes:
            raise ArchiveError(f"{key!r} declares more data than the file holds")
        array: NDArray[Any] = np.ndarray(header.shape, header.dtype, data, order="F" if header.fortran else "C")
        return array


@contextmanager
def opened(path: Path, max_members: int) -> Iterator[Archive]:
    """Opens an ``.npz`` and reads the headers of its arrays; whatever is damaged becomes an `ArchiveError`.

    Args:
        path: A regular file.
        max_members: Refuse archives of more.
    """
    try:
        if not path.is_file():
            raise ArchiveError("no such file" if not path.exists() else "not a regular file")
        with _BoundedFile(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            if len(members) > max_members:
                raise ArchiveError(f"{len(members)} arrays are more than {max_members}")
            yield Archive(archive, {info.filename.removesuffix(".npy"): _header(archive, info) for info in members})
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:_MAX_REASON]
        raise ArchiveError(reason if reason.isprintable() and reason else "damaged") from error


class _BoundedFile(io.BufferedReader):
    """The directory of an archive is read at once, as large as the file says that it is."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = _MAX_DIRECTORY + 1 if size is None or size < 0 else size
        if wanted > _MAX_DIRECTORY + 1:
            raise ValueError(f"its directory declares {wanted} bytes, more than {_MAX_DIRECTORY}")
        return super().read(wanted)


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Header:
    name = info.filename[:_MAX_REASON]
    if info.compress_type not in _METHODS or info.flag_bits & 1:
        raise ArchiveError(f"{name!r} is encrypted, or compressed by a method that NumPy does not write")
    with archive.open(info) as file:
        start = file.read(8)
        form = _LENGTHS.get(start[6:8])
        if start[:6] != b"\x93NUMPY" or form is None:
            raise ArchiveError(f"{name!r} is no array, or of a version of the format that is not known")
        (length,) = struct.unpack(form, file.read(struct.calcsize(form)))
        if length > _MAX_HEADER:
            raise ArchiveError(f"{name!r} has a header of {length} bytes, more than {_MAX_HEADER}")
        text = file.read(length).decode("latin-1")
    offset = 8 + struct.calcsize(form) + length
    descr, order, shape = _DESCR.search(text), _ORDER.search(text), _SHAPE.search(text)
    if descr is None or order is None or shape is None:
        raise ArchiveError(f"{name!r} has a header that is not understood")
    sides = tuple(int(side) for side in re.findall("[0-9]+", shape[1]))
    if len(sides) > _MAX_DIMENSIONS:
        raise ArchiveError(f"{name!r} has {len(sides)} dimensions, more than {_MAX_DIMENSIONS}")
    return Header(sides, np.dtype(descr[1]), order[1] == "True", offset, info.file_size - offset)
