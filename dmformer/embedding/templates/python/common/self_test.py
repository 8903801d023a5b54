"""Compares this project with PyTorch on the golden samples: first the tensors, then the answers.

    python self_test.py

Exit code 0 where both stages agree, 1 where one differs; it is named on the last line.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np

from engine import Engine
from inference import run_all
from preprocessing import preprocess

GOLDEN = Path(__file__).parent / "golden"


def main() -> int:
    golden = json.loads((GOLDEN / "golden.json").read_text(encoding="utf-8"))
    tensors = np.stack([read(sample["tensor"], golden["dtype"], golden["shape"]) for sample in golden["samples"]])
    reference = np.stack([read(sample["logits"], "float32", golden["output"]) for sample in golden["samples"]])
    stages = {
        "preprocessing": preprocessing_problems(golden, tensors),
        "engine": engine_problems(golden["tolerance"], reference, run_all(Engine(), tensors)),
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


def engine_problems(tolerance: dict, reference: np.ndarray, found: np.ndarray) -> list[str]:
    """The stage "engine": its answers to the golden tensors against PyTorch's. None in a tolerance is not judged."""
    error = float(np.abs(reference - found).max())
    allowed = math.inf if tolerance["max_abs_error"] is None else tolerance["max_abs_error"]
    allowed *= max(1.0, float(np.abs(reference).max()))
    noise_db = sqnr_db(reference, found)
    share = float((reference.argmax(1) == found.argmax(1)).mean())
    problems = []
    # Written so that a comparison with NaN is a problem too.
    if not (np.isfinite(found).all() and error <= allowed):
        problems.append(f"a logit differs by {error:.3g}, allowed {allowed:.3g}")
    if tolerance["min_sqnr_db"] is not None and not noise_db >= tolerance["min_sqnr_db"]:
        problems.append(f"SQNR {noise_db:.1f} dB is below {tolerance['min_sqnr_db']:.1f}")
    if tolerance["min_agreement"] is not None and not share >= tolerance["min_agreement"]:
        problems.append(f"agreement {share:.2%} is below {tolerance['min_agreement']:.2%}")
    return problems


def sqnr_db(reference: np.ndarray, found: np.ndarray) -> float:
    """Signal to quantization noise ratio in dB."""
    noise = np.square(reference.astype(np.float64) - found).sum()
    # An answer of zeros has no signal.
    signal = max(np.square(reference, dtype=np.float64).sum(), np.finfo(np.float64).tiny)
    return math.inf if noise == 0 else 10 * (math.log10(signal) - math.log10(noise))


if __name__ == "__main__":
    sys.exit(main())
