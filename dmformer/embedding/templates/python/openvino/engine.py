"""The engine in OpenVINO, on the CPU."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.modules.setdefault("openvino_telemetry", None)  # as if not installed: OpenVINO's converter reports home with it
import openvino  # noqa: E402

from machine import check_machine  # noqa: E402
from outputs import joined  # noqa: E402
from parameters import ENGINE_FILE, OPTIONS, OUTPUTS  # noqa: E402


class Engine:
    """Opened once. `run` is for one thread: an application with several gives each an engine of its own."""

    def __init__(self, threads: int = 0) -> None:
        """Opens the engine. ``threads`` are those inside one inference; 0 leaves the choice to OpenVINO."""
        check_machine()
        config = {"PERFORMANCE_HINT": "LATENCY", **OPTIONS}
        if threads:
            config["INFERENCE_NUM_THREADS"] = str(threads)
        path = Path(__file__).parent / ENGINE_FILE
        self._request = openvino.Core().compile_model(str(path), "CPU", config).create_infer_request()

    def run(self, batch: np.ndarray) -> np.ndarray:
        """What the engine gives, [N, ...], for preprocessed images [N, ...]."""
        given = self._request.infer([batch], share_outputs=True)
        return joined([given[place] for place in OUTPUTS.values()])
