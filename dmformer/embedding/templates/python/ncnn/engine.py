"""The engine in ncnn, on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import ncnn

from machine import check_machine
from outputs import joined
from parameters import ENGINE_FILE, INPUT, OPTIONS, OUTPUT_DTYPE, OUTPUTS


class Engine:
    """Opened once. `run` is for one thread: an application with several gives each an engine of its own."""

    def __init__(self, threads: int = 0) -> None:
        """Opens the engine. ``threads`` are those inside one inference; 0 leaves the choice to ncnn."""
        check_machine()
        self._net = ncnn.Net()
        self._net.opt.use_vulkan_compute = False
        for name, value in OPTIONS.items():
            setattr(self._net.opt, name, value == "true")
        if threads:
            self._net.opt.num_threads = threads
        path = Path(__file__).parent / ENGINE_FILE
        if self._net.load_param(str(path)) or self._net.load_model(str(path.with_suffix(".bin"))):
            raise RuntimeError(f"ncnn cannot load {path}")

    def run(self, batch: np.ndarray) -> np.ndarray:
        """What the engine gives, [N, ...], for preprocessed images [N, ...]; ncnn takes one image at a time."""
        images = [self._run_one(np.ascontiguousarray(image)) for image in batch]
        return joined([np.stack(outputs) for outputs in zip(*images)])

    def _run_one(self, image: np.ndarray) -> list[np.ndarray]:
        extractor = self._net.create_extractor()
        extractor.input(INPUT, ncnn.Mat(image).clone())  # a Mat around an array does not keep it alive
        # ncnn computes in floats, also the numbers of classes.
        return [np.array(extractor.extract(name)[1]).astype(OUTPUT_DTYPE) for name in OUTPUTS]
