"""The only place that imports ONNX Runtime and OpenVINO: both report home unless they are told not to.

ONNX Runtime makes an identifier in the user's cache and looks up its collector as soon as it is imported;
``disable_telemetry_events()`` comes too late for that, the environment variable does not. OpenVINO's converter does
so through the package ``openvino_telemetry`` and has a stand-in that does nothing for where that is not installed.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

SWITCH = "ORT_DISABLE_TELEMETRY"
REPORTER = "openvino_telemetry"


def switch_off() -> None:
    """Tells ONNX Runtime in this process and in those that it starts, whoever imports it there."""
    os.environ[SWITCH] = "1"


def onnxruntime() -> Any:
    """The module, silent also where the application had imported it before."""
    switch_off()
    module = import_module("onnxruntime")
    with contextlib.suppress(AttributeError):
        module.disable_telemetry_events()
    return module


def openvino() -> Any:
    """The module, whose converter found no package to report with."""
    with _absent(REPORTER):
        return import_module("openvino")


@contextlib.contextmanager
def _absent(name: str) -> Iterator[None]:
    """A package that cannot be imported for a while; what an application has imported itself is there again after."""
    if "openvino" in sys.modules:
        yield
        return
    mine = {module: sys.modules.pop(module) for module in list(sys.modules) if module.partition(".")[0] == name}
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
        sys.modules.update(mine)
