"""Classify a stream of frames at a fixed rate, and tell the latency from pixels to classes.

    python examples/python/camera.py BUNDLE --source photos/ --fps 30 --frames 300
    python examples/python/camera.py BUNDLE --source 0            (the first camera; needs opencv-python)

A frame that comes while the one before it is still in the works waits for it; a loop that is behind does not try to
catch up, so that what is measured is the latency of a frame and not that of a queue.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmformer import Classifier
from dmformer.data.images import EXTENSIONS
from dmformer.preprocessing import load_image

Frame = NDArray[Any]


def frames_of(source: str) -> Iterator[Frame]:
    """Endless frames, uint8 [H, W, 3] in RGB: of a camera where ``source`` is its index, else of a folder in turn."""
    if source.isdigit():
        return from_camera(int(source))
    images = [load_image(path) for path in sorted(Path(source).iterdir()) if path.suffix.lower() in EXTENSIONS]
    if not images:
        raise SystemExit(f"{source}: no images there")
    return cycle(images)


def from_camera(index: int) -> Iterator[Frame]:
    try:
        import cv2  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise SystemExit("a camera is read with OpenCV: pip install opencv-python-headless") from None
    camera = cv2.VideoCapture(index)
    while True:
        there, frame = camera.read()
        if not there:
            raise SystemExit(f"camera {index} gives no picture")
        # OpenCV's order is BGR; everything here is RGB.
        yield np.ascontiguousarray(frame[:, :, ::-1])


def paced(frames: Iterator[Frame], fps: float) -> Iterator[Frame]:
    """Each frame no earlier than 1/fps after the one before it."""
    due = time.perf_counter()
    for frame in frames:
        time.sleep(max(0.0, due - time.perf_counter()))
        due = max(due, time.perf_counter()) + 1 / fps
        yield frame


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--source", required=True, help="a folder of images, or the index of a camera")
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--frames", type=int, default=300)
    asked = parser.parse_args()

    latencies_ms = []
    with Classifier(asked.bundle) as classifier:
        for frame in islice(paced(frames_of(asked.source), asked.fps), asked.frames):
            started = time.perf_counter()
            best = classifier.predict(frame, top_k=1)[0][0]
            latencies_ms.append((time.perf_counter() - started) * 1e3)
            print(f"{best.label} {best.probability:.1%}")
    p50, p99 = np.percentile(latencies_ms, [50, 99])
    print(f"{len(latencies_ms)} frames at {asked.fps:g} fps: p50 {p50:.2f} ms, p99 {p99:.2f} ms")


if __name__ == "__main__":
    main()
