"""The engine in ONNX Runtime, on the CPU."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # it reports home from its import on unless this is set before
import onnxruntime

from machine import check_machine
from outputs import joined
from parameters import ENGINE_FILE, INPUT, OUTPUTS

PROVIDER = "CPUExecutionProvider"


class Engine:
    """Opened once; `run` may be called from several threads."""

    def __init__(self, threads: int = 0) -> None:
        """Opens the engine. ``threads`` are those inside one inference; 0 leaves the choice to ONNX Runtime."""
        check_machine()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        path = Path(__file__).parent / ENGINE_FILE
        self._session = onnxruntime.InferenceSession(str(path), options, providers=[PROVIDER])

    def run(self, batch: np.ndarray) -> np.ndarray:
        """What the engine gives, [N, ...], for preprocessed images [N, ...]."""
        return joined(self._session.run(list(OUTPUTS), {INPUT: batch}))
