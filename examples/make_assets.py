"""Put a trained state into ``demo/dmformer_demo``: the checkpoint, the test set and 512 calibration images.

Run by ``make train`` after ``train_fashion_mnist.py``. The calibration images are spread evenly over the
training set; none of them is a test image.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import torch

from dmformer import assets
from dmformer.data.idx import read_idx
from dmformer.model.checkpoint import Checkpoint, save_checkpoint
from dmformer.model.config import preset
from dmformer.model.network import DMFormer
from dmformer.preprocessing import Preprocessing

LABELS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
MEAN, STD, SIZE = 0.2860, 0.3530, 32
CALIBRATION_IMAGES = 512
FOLDER = Path(__file__).parent.parent / "demo" / "dmformer_demo"


def checkpoint_of(state: dict[str, torch.Tensor]) -> Checkpoint:
    model = DMFormer(preset("tiny", classes=len(LABELS)))
    model.load_state_dict(state)
    preprocessing = Preprocessing(size=(SIZE, SIZE), resize="exact", mean=(MEAN,) * 3, std=(STD,) * 3)
    return Checkpoint.from_model(model, preprocessing, LABELS, "dmformer-tiny-fashion-mnist")


def write_idx(path: Path, values: np.ndarray) -> None:
    header = struct.pack(">BBBB", 0, 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(header + values.tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--state", type=Path, default=Path("build/dmformer-tiny-fashion-mnist.pt"))
    arguments = parser.parse_args()
    state = torch.load(arguments.state, weights_only=True, map_location="cpu")
    save_checkpoint(checkpoint_of(state), FOLDER / assets.CHECKPOINT)
    for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        shutil.copyfile(arguments.data / name, FOLDER / name)
    images = read_idx(arguments.data / "train-images-idx3-ubyte.gz")
    labels = read_idx(arguments.data / "train-labels-idx1-ubyte.gz")
    chosen = np.arange(CALIBRATION_IMAGES) * len(images) // CALIBRATION_IMAGES
    write_idx(FOLDER / "calibration-images-idx3-ubyte.gz", images[chosen])
    write_idx(FOLDER / "calibration-labels-idx1-ubyte.gz", labels[chosen])


if __name__ == "__main__":
    main()
