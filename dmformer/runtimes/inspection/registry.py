"""The inspectors by target."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from dmformer.errors import EngineError
from dmformer.runtimes.inspection.base import Inspector

INSPECTORS: dict[str, str] = {
    "onnx": "dmformer.runtimes.inspection.onnx_runtime:OnnxRuntimeInspector",
    "onnxruntime": "dmformer.runtimes.inspection.onnx_runtime:OnnxRuntimeInspector",
    "openvino": "dmformer.runtimes.inspection.openvino:OpenVinoInspector",
    "tensorrt": "dmformer.runtimes.inspection.tensorrt:TensorRtInspector",
    "tensorrt-rtx": "dmformer.runtimes.inspection.tensorrt:TensorRtInspector",
}


def get_inspector(target: str) -> Inspector:
    """The inspector of a target.

    Raises:
        EngineError: This runtime cannot be looked into.
    """
    if target not in INSPECTORS:
        raise EngineError(f"{target}: its layers cannot be looked into", f"it works for: {', '.join(INSPECTORS)}")
    module, _, attribute = INSPECTORS[target].partition(":")
    return cast(Inspector, getattr(import_module(module), attribute)())
