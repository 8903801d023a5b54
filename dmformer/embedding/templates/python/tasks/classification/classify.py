"""Classifies image files.

python classify.py photo.jpg [more.png ...] [--top 3]
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from engine import Engine
from images import ImageError, load_image
from inference import run_all
from parameters import LABELS
from preprocessing import preprocess


def main() -> int:
    parser = argparse.ArgumentParser(description="Classify image files.")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--top", type=int, default=3, help="classes for each image")
    asked = parser.parse_args()
    engine = Engine()
    for path in asked.images:
        try:
            tensor = preprocess(load_image(path))
        except (ImageError, ValueError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        started = time.perf_counter()
        logits = run_all(engine, tensor[np.newaxis])[0]
        elapsed_ms = (time.perf_counter() - started) * 1e3
        print(f"{path}  ({elapsed_ms:.1f} ms)")
        probabilities = softmax(logits)
        for index in np.argsort(-probabilities)[: asked.top]:
            print(f"  {probabilities[index]:7.2%}  {LABELS[index]}")
    return 0


def softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits.astype(np.float64) - logits.max())
    return shares / shares.sum()


if __name__ == "__main__":
    sys.exit(main())
