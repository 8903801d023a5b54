"""Runs the backbone on image files: four feature maps of each.

python extract.py photo.jpg [more.png ...] [--output FOLDER]
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np

from files import run_files
from parameters import SHAPES


def main() -> int:
    parser = argparse.ArgumentParser(description="Feature maps of image files.")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--output", type=Path, help="folder for the maps, one .npz for each image")
    arguments = parser.parse_args()

    def show(path: str, _: np.ndarray, row: np.ndarray, elapsed_ms: float) -> None:
        print(f"{path}  ({elapsed_ms:.1f} ms)")
        maps = maps_of(row)
        for name, values in maps.items():
            shape = "x".join(map(str, values.shape))
            print(f"  {name}  {shape:>12}  mean {values.mean():+.3f}  std {values.std():.3f}")
        if arguments.output is not None:
            arguments.output.mkdir(parents=True, exist_ok=True)
            np.savez(arguments.output / f"{Path(path).name}.npz", **maps)

    return run_files(arguments.images, show)


def maps_of(row: np.ndarray) -> dict[str, np.ndarray]:
    """The maps [C, H, W] of one image by their names, of what the engine gives for it."""
    ends = np.cumsum([math.prod(shape) for shape in SHAPES.values()])
    parts = np.split(row, ends[:-1])
    return {name: part.reshape(shape) for (name, shape), part in zip(SHAPES.items(), parts)}


if __name__ == "__main__":
    sys.exit(main())
