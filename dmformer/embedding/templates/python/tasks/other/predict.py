"""Runs the engine on image files and keeps what it gives.

python predict.py photo.jpg [more.png ...] [--output FOLDER]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from engine import Engine
from images import ImageError, load_image
from inference import run_all
from preprocessing import preprocess


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the engine on image files.")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--output", type=Path, help="folder for the outputs, one .npy for each image")
    arguments = parser.parse_args()
    engine = Engine()
    for path in arguments.images:
        try:
            tensor = preprocess(load_image(path))
        except (ImageError, ValueError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        started = time.perf_counter()
        outputs = run_all(engine, tensor[np.newaxis])[0]
        elapsed_ms = (time.perf_counter() - started) * 1e3
        shape = "x".join(map(str, outputs.shape))
        print(f"{path}  ({elapsed_ms:.1f} ms)  {shape}, {outputs.min():.4g} to {outputs.max():.4g}")
        if arguments.output is not None:
            arguments.output.mkdir(parents=True, exist_ok=True)
            np.save(arguments.output / f"{Path(path).name}.npy", outputs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
