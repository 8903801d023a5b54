"""A ``.mlpackage`` on disk: its specification with all constants, checked before anything is computed.

Layout (coremltools, mlmodel/ModelPackage): ``Manifest.json`` names the root item, the specification
``Data/com.apple.CoreML/model.mlmodel``; its constants lie in ``Data/com.apple.CoreML/weights/weight.bin``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from dmformer.reading import read_bounded, read_json
from dmformer.runtimes.mlprogram.blob import Blob
from dmformer.runtimes.mlprogram.messages import BlobReference, Content, Model, Value, read_model

DATA, MANIFEST = "Data", "Manifest.json"
MODEL_PATH = "@model_path/"
MAX_SPECIFICATION_BYTES = 1 << 28
"""A quarter of a gibibyte: the constants of a program of this size lie in its weight file."""
MAX_MANIFEST_BYTES = 1 << 20
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError, OverflowError)
"""What reading a damaged or hostile package may raise."""


class PackageError(ValueError):
    """A package that cannot be read; the message says what is wrong with which part of it."""


@dataclass(frozen=True)
class Package:
    """A read package.

    Attributes:
        model: Its specification.
        constants: The values of its constants by where they lie.
    """

    model: Model
    constants: dict[BlobReference, np.ndarray]

    def content(self, value: Value) -> Content:
        """What a constant holds."""
        return self.constants[value.content] if isinstance(value.content, BlobReference) else value.content


def read_package(path: Path) -> Package:
    """Reads a package.

    Args:
        path: The ``.mlpackage`` directory.

    Raises:
        PackageError: It is truncated, incomplete, or no ML Program.
    """
    try:
        specification = specification_of(path)
        model = read_model(read_bounded(specification, MAX_SPECIFICATION_BYTES))
    except PackageError:
        raise
    except FileNotFoundError as error:
        raise PackageError(f"{Path(str(error.filename)).name} is missing") from error
    except OSError as error:
        raise PackageError(f"{Path(str(error.filename)).name} {error.strerror}") from error
    except DAMAGE as error:
        raise PackageError(f"its specification cannot be read: {error}") from error
    return Package(model, _constants(model, specification.parent))


def specification_of(path: Path) -> Path:
    """The file of the model specification, as the package's manifest names it.

    Raises:
        PackageError: The manifest is no such manifest, or names a file outside the package.
        OSError: It cannot be read.
    """
    try:
        document = read_json(path / MANIFEST, MAX_MANIFEST_BYTES)
        item = document["itemInfoEntries"][document["rootModelIdentifier"]]["path"]
        inside = _inside(str(item))
    except OSError:
        raise
    except DAMAGE as error:
        raise PackageError(f"{MANIFEST} is no manifest of a package ({type(error).__name__})") from error
    return path / DATA / inside


def _inside(name: str) -> str:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
        raise PackageError(f"the path {name!r} leaves the package")
    return name


def _constants(model: Model, directory: Path) -> dict[BlobReference, np.ndarray]:
    """All constants that lie in weight files, each file opened once."""
    blobs: dict[str, Blob] = {}
    constants: dict[BlobReference, np.ndarray] = {}
    try:
        for value in _values(model):
            place = value.content
            if not isinstance(place, BlobReference) or place in constants:
                continue
            if place.file not in blobs:
                blobs[place.file] = Blob(directory / _inside(place.file.removeprefix(MODEL_PATH)))
            constants[place] = blobs[place.file].read(place.offset, value.type)
    except FileNotFoundError as error:
        raise PackageError(f"the weight file {Path(str(error.filename)).name} is missing") from error
    except PackageError:
        raise
    except DAMAGE as error:
        raise PackageError(str(error)) from error
    finally:
        for blob in blobs.values():
            blob.close()
    return constants


def _values(model: Model) -> list[Value]:
    operations = model.program.operations
    return [v for op in operations for bound in op.inputs.values() for v in bound if isinstance(v, Value)]
