"""Compares this project with PyTorch on the golden samples: first the tensors, then the answers.

    python self_test.py

Exit code 0 where both stages agree, 1 where one differs; it is named on the last line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from compare import engine_problems
from engine import Engine
from inference import run_all
from preprocessing import preprocess

GOLDEN = Path(__file__).parent / "golden"


def main() -> int:
    golden = json.loads((GOLDEN / "golden.json").read_text(encoding="utf-8"))
    tensors = np.stack([read(sample["tensor"], golden["dtype"], golden["shape"]) for sample in golden["samples"]])
    stages = {
        "preprocessing": preprocessing_problems(golden, tensors),
        "engine": engine_problems(golden, run_all(Engine(), tensors), read),
    }
    for stage, problems in stages.items():
        print(f"{stage}: {'; '.join(problems) or f'equal to PyTorch on {len(tensors)} images'}")
    differs = next((stage for stage, problems in stages.items() if problems), None)
    print(f"self-test failed: {differs} differs" if differs else "self-test passed")
    return 1 if differs else 0


def read(name: str, dtype: str, shape: list[int]) -> np.ndarray:
    return np.fromfile(GOLDEN / name, np.dtype(dtype).newbyteorder("<")).reshape(shape)


def preprocessing_problems(golden: dict, tensors: np.ndarray) -> list[str]:
    """The stage "preprocessing": the golden pixels, preprocessed here, against the golden tensors."""
    allowed = np.asarray(golden["tolerance"]["tensor"])
    worst = np.zeros(len(allowed))
    # Pixels are [H, W, C], tensors [C, H, W].
    plane = (0, 1) if golden["dtype"] == "uint8" else (1, 2)
    for sample, tensor in zip(golden["samples"], tensors):
        shape = (sample["height"], sample["width"], sample["channels"])
        pixels = np.fromfile(GOLDEN / sample["pixels"], np.uint8).reshape(shape)
        worst = np.maximum(worst, np.abs(preprocess(pixels).astype(np.float32) - tensor).max(axis=plane))
    if (worst <= allowed).all():
        return []
    channel = int(np.argmax(worst / allowed))
    return [f"channel {channel} differs by {worst[channel]:.3f}, allowed {allowed[channel]:.3f}"]


if __name__ == "__main__":
    sys.exit(main())
