"""Image files through the engine, one after the other."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from engine import Engine
from images import ImageError, load_image
from inference import run_all
from preprocessing import preprocess


def as_given(output: np.ndarray, image: np.ndarray) -> np.ndarray:
    return output


def run_files(
    paths: Sequence[str],
    show: Callable[[str, np.ndarray, np.ndarray, float], None],
    decide: Callable[[np.ndarray, np.ndarray], np.ndarray] = as_given,
) -> int:
    """Runs the engine on image files. Gives the exit code of a program: 2 where one of them is no image, else 0.

    Args:
        paths: The files.
        show: Gets each path, its image [H, W, C], what was decided, and the milliseconds of engine and decision.
        decide: From what the engine gives for an image, and the image, to what is shown.
    """
    engine = Engine()
    for path in paths:
        try:
            image = load_image(path)
            tensor = preprocess(image)
        except (ImageError, ValueError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        started = time.perf_counter()
        decided = decide(run_all(engine, tensor[np.newaxis])[0], image)
        show(path, image, decided, (time.perf_counter() - started) * 1e3)
    return 0
