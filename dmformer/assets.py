"""What dmformer shows itself with: trained checkpoints, their test sets and calibration images.

They are the package ``dmformer_demo``, which a device does without: data of Fashion-MNIST (Zalando SE, MIT), and scenes
that are composed of it on photographs without copyright.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from dmformer.bundle import sha256_of
from dmformer.data.composed import ComposedDataset
from dmformer.data.dataset import Dataset
from dmformer.data.idx import open_idx, read_idx
from dmformer.errors import MissingBackendError

CHECKPOINT = "dmformer-tiny-fashion-mnist.safetensors"
SCENES_CHECKPOINT = "dmformer-tiny-scenes.safetensors"
TEST_SCENES, CALIBRATION_SCENES = 2000, 512
INSTALL = "pip install 'dmformer[demo]'"


@dataclass(frozen=True)
class Demonstration:
    """What a task is shown with.

    Attributes:
        name: Of the data.
        test_name: Of the test set; ``calibration_name`` what calibration images are taken from.
        file: Of the weights.
        test: Gives the test set, and raises `MissingBackendError` where it is not installed; likewise below.
        calibration: Gives the calibration set.
    """

    name: str
    test_name: str
    calibration_name: str
    file: str
    test: Callable[[], Dataset]
    calibration: Callable[[], Dataset]

    def weights(self) -> Path:
        """Their file."""
        return _needed(self.file, "no weights were given", "give your own weights")

    def is_of(self, digest: str) -> bool:
        """Whether the weights are here and of this SHA-256."""
        path = _file(self.file)
        return path is not None and sha256_of(path) == digest


def demonstrations() -> dict[str, Demonstration]:
    """All of them, by the names that tasks give them (`dmformer.tasks.base.Task.demonstration`)."""
    return {
        "images": Demonstration(
            "Fashion-MNIST",
            "Fashion-MNIST test set",
            "Fashion-MNIST's training set",
            CHECKPOINT,
            lambda: open_idx(test_images()),
            lambda: open_idx(calibration_images()),
        ),
        "scenes": Demonstration(
            "composed scenes",
            "set of composed test scenes",
            "scenes composed of Fashion-MNIST's training set",
            SCENES_CHECKPOINT,
            test_scenes,
            calibration_scenes,
        ),
    }


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


def scenes_checkpoint() -> Path:
    """The weights of a segmenter: a tiny DMFormer with Semantic FPN, for scenes."""
    return _needed(SCENES_CHECKPOINT, "no weights were given", "give your own weights")


def test_scenes() -> ComposedDataset:
    """2000 composed scenes with masks: garments of Fashion-MNIST's test set on photographs that are in no other scene.

    They are composites, made when they are asked for: nothing of them is stored.
    """
    images = test_images()
    from dmformer_demo.scenes import TEST_GROUNDS

    return _scenes("test scenes", images, TEST_GROUNDS, TEST_SCENES, seed=1)


def calibration_scenes() -> ComposedDataset:
    """512 composed scenes of `calibration_images` on the photographs of training."""
    images = calibration_images()
    from dmformer_demo.scenes import TRAINING_GROUNDS

    return _scenes("calibration scenes", images, TRAINING_GROUNDS, CALIBRATION_SCENES, seed=800_000)


def _scenes(name: str, images: Path, grounds: tuple[str, ...], count: int, seed: int) -> ComposedDataset:
    from dmformer_demo.scenes import CLASSES, PALETTE, Scenes, read_grounds

    labels = images.with_name(images.name.replace("images-idx3", "labels-idx1"))
    scenes = Scenes(read_idx(images), read_idx(labels), read_grounds(grounds), count, seed)
    return ComposedDataset(name, scenes, CLASSES, PALETTE)


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
