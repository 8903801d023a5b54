"""Runs the backbone on image files: four feature maps of each.

python extract.py photo.jpg [more.png ...] [--output FOLDER]
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np

from engine import Engine
from images import ImageError, load_image
from inference import run_all
from parameters import SHAPES
from preprocessing import preprocess


def main() -> int:
    parser = argparse.ArgumentParser(description="Feature maps of image files.")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--output", type=Path, help="folder for the maps, one .npz for each image")
    arguments = parser.parse_args()
    engine = Engine()
    for path in arguments.images:
        try:
            tensor = preprocess(load_image(path))
        except (ImageError, ValueError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        started = time.perf_counter()
        maps = maps_of(run_all(engine, tensor[np.newaxis])[0])
        elapsed_ms = (time.perf_counter() - started) * 1e3
        print(f"{path}  ({elapsed_ms:.1f} ms)")
        for name, values in maps.items():
            shape = "x".join(map(str, values.shape))
            print(f"  {name}  {shape:>12}  mean {values.mean():+.3f}  std {values.std():.3f}")
        if arguments.output is not None:
            arguments.output.mkdir(parents=True, exist_ok=True)
            np.savez(arguments.output / f"{Path(path).name}.npz", **maps)
    return 0


def maps_of(row: np.ndarray) -> dict[str, np.ndarray]:
    """The maps [C, H, W] of one image by their names, of what the engine gives for it."""
    ends = np.cumsum([math.prod(shape) for shape in SHAPES.values()])
    parts = np.split(row, ends[:-1])
    return {name: part.reshape(shape) for (name, shape), part in zip(SHAPES.items(), parts)}


if __name__ == "__main__":
    sys.exit(main())
