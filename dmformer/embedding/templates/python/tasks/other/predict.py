"""Runs the engine on image files and keeps what it gives.

python predict.py photo.jpg [more.png ...] [--output FOLDER]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from files import run_files


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the engine on image files.")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--output", type=Path, help="folder for the outputs, one .npy for each image")
    arguments = parser.parse_args()

    def show(path: str, _: np.ndarray, outputs: np.ndarray, elapsed_ms: float) -> None:
        shape = "x".join(map(str, outputs.shape))
        print(f"{path}  ({elapsed_ms:.1f} ms)  {shape}, {outputs.min():.4g} to {outputs.max():.4g}")
        if arguments.output is not None:
            arguments.output.mkdir(parents=True, exist_ok=True)
            np.save(arguments.output / f"{Path(path).name}.npy", outputs)

    return run_files(arguments.images, show)


if __name__ == "__main__":
    sys.exit(main())
