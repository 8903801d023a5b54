"""What is embedded in the package: a trained checkpoint, its test set and its calibration images.

The images are Fashion-MNIST (Zalando SE, MIT licence: see ``LICENSE-fashion-mnist``).
"""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent

CHECKPOINT = _HERE / "dmformer-tiny-fashion-mnist.safetensors"
TEST_IMAGES = _HERE / "t10k-images-idx3-ubyte.gz"
CALIBRATION_IMAGES = _HERE / "calibration-images-idx3-ubyte.gz"
