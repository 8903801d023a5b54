"""The inspectors by target."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from dmformer.bundle import Bundle
from dmformer.errors import EngineError
from dmformer.runtimes.inspection.base import Inspector
from dmformer.runtimes.registry import fits_here

INSPECTORS: dict[str, str] = {
    "onnx": "dmformer.runtimes.inspection.onnx_runtime:OnnxRuntimeInspector",
    "onnxruntime": "dmformer.runtimes.inspection.onnx_runtime:OnnxRuntimeInspector",
    "openvino": "dmformer.runtimes.inspection.openvino:OpenVinoInspector",
    "tensorrt": "dmformer.runtimes.inspection.tensorrt:TensorRtInspector",
    "tensorrt-rtx": "dmformer.runtimes.inspection.tensorrt:TensorRtInspector",
}


def inspector_for(bundle: Bundle) -> Inspector:
    """The inspector of a bundle that can run here.

    Raises:
        MissingBackendError: Its runtime is not installed.
        EngineError: It was made for another machine, or its runtime cannot be looked into.
    """
    fits_here(bundle)
    return get_inspector(bundle.manifest.target)


def get_inspector(target: str) -> Inspector:
    """The inspector of a target.

    Raises:
        EngineError: This runtime cannot be looked into.
    """
    if target not in INSPECTORS:
        raise EngineError(f"{target}: its layers cannot be looked into", f"it works for: {', '.join(INSPECTORS)}")
    module, _, attribute = INSPECTORS[target].partition(":")
    return cast(Inspector, getattr(import_module(module), attribute)())
