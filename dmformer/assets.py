"""What dmformer shows itself with: a trained checkpoint, its test set and calibration images.

They are the package ``dmformer_demo``, which a device does without: data of Fashion-MNIST (Zalando SE, MIT).
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from dmformer.errors import MissingBackendError

CHECKPOINT = "dmformer-tiny-fashion-mnist.safetensors"
INSTALL = "pip install 'dmformer[demo]'"


def installed() -> bool:
    """Whether they are here."""
    return _file(CHECKPOINT) is not None


def checkpoint() -> Path:
    """The weights: a tiny DMFormer.

    Raises:
        MissingBackendError: They are not installed; likewise below.
    """
    return _needed(CHECKPOINT, "no weights were given", "give your own weights")


def test_images() -> Path:
    """The test set, 10,000 labelled images, as an IDX file."""
    return _needed("t10k-images-idx3-ubyte.gz", "no images were given", "give your own with --data")


def calibration_images() -> Path:
    """512 labelled images of the training set, as an IDX file."""
    return _needed("calibration-images-idx3-ubyte.gz", "no images were given", "give your own with --calibration")


def _file(name: str) -> Path | None:
    try:
        path = Path(str(files("dmformer_demo") / name))
    except ModuleNotFoundError:
        return None
    return path if path.is_file() else None


def _needed(name: str, why: str, instead: str) -> Path:
    path = _file(name)
    if path is None:
        raise MissingBackendError(f"{why}, and the demonstration's are not installed", f"{instead}, or {INSTALL}")
    return path
