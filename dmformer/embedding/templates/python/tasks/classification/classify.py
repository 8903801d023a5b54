"""Classifies image files.

python classify.py photo.jpg [more.png ...] [--top 3]
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from files import run_files
from parameters import LABELS


def main() -> int:
    parser = argparse.ArgumentParser(description="Classify image files.")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--top", type=int, default=3, help="classes for each image")
    asked = parser.parse_args()

    def show(path: str, _: np.ndarray, logits: np.ndarray, elapsed_ms: float) -> None:
        print(f"{path}  ({elapsed_ms:.1f} ms)")
        probabilities = softmax(logits)
        for index in np.argsort(-probabilities)[: asked.top]:
            print(f"  {probabilities[index]:7.2%}  {LABELS[index]}")

    return run_files(asked.images, show)


def softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits.astype(np.float64) - logits.max())
    return shares / shares.sum()


if __name__ == "__main__":
    sys.exit(main())
